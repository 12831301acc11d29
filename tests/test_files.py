"""Files under their final name are whole, whatever happens; names stay inside their folder."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medsynth.errors import MedsynthError
from medsynth.files import inside, sha256_file, sha256_json, write_atomic, write_bytes, write_json, write_text
from tests.conftest import small_disk

KILLED = """
import os, signal, sys
from pathlib import Path
from medsynth.files import write_atomic

def half(file):
    file.write(b"x" * 100_000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

write_atomic(Path(sys.argv[1]), half)
"""


@pytest.mark.parametrize("before", [None, b"the old content"])
def test_killed_while_writing_leaves_nothing_under_the_final_name(tmp_path, before):
    path = tmp_path / "a.nii.gz"
    if before is not None:
        path.write_bytes(before)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60, check=False)
    assert done.returncode == -9
    assert (path.read_bytes() if path.exists() else None) == before


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    real, order = os.fsync, []

    def watched(descriptor):
        order.append((Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path, (tmp_path / "a").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_bytes(tmp_path / "a", b"x")
    assert order == [(False, False), (True, True)]  # the file, then, renamed, its folder


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def fail(file):
        file.write(b"x")
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        write_atomic(tmp_path / "a.bin", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        write_bytes(disk / "a.bin", b"old")
        with pytest.raises(MedsynthError, match="no space left on the disk"):
            write_bytes(disk / "a.bin", b"x" * 200_000)
        assert [path.name for path in disk.iterdir()] == ["a.bin"]
        assert (disk / "a.bin").read_bytes() == b"old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_kind_of_full(tmp_path, number):
    def full(file):
        raise OSError(number, "x")

    with pytest.raises(MedsynthError, match="no space left"):
        write_atomic(tmp_path / "a.bin", full)
    assert list(tmp_path.iterdir()) == []


def test_where_no_folder_can_be(tmp_path):
    write_bytes(tmp_path / "file", b"")
    for path in (tmp_path / "file" / "a.bin", tmp_path / "file" / "sub" / "a.bin"):
        with pytest.raises(MedsynthError, match="cannot be a folder: it is a file or lies below one"):
            write_bytes(path, b"x")
    with pytest.raises(MedsynthError, match="cannot be made: No such file or directory; choose another folder"):
        write_bytes(Path("/proc/medsynth/a.bin"), b"x")
    with pytest.raises(MedsynthError, match="longer than the disk allows"):
        write_bytes(tmp_path / ("x" * 300) / "a.bin", b"x")


def test_what_is_written(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "ä")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "ä".encode()
    mask = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {"b": 1})
    finally:
        os.umask(mask)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640
    write_bytes(tmp_path / "private", b"x", private=True)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", {"b": float("nan")})
    assert not (tmp_path / "nan.json").exists()


def test_the_umask_that_other_threads_share_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("changed for the whole process"))
    write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"


def test_hashes(tmp_path):
    write_bytes(tmp_path / "a", b"abc")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_json({"a": 1, "b": [1.5, None]}) == sha256_json({"b": [1.5, None], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": "1"})


def test_inside(tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to("..")
    (folder / "near").symlink_to("sub")
    (folder / "round").symlink_to("round")
    for fine in ("a", "sub/a", "sub/../a", "near/a", "a b", "~", "..a"):
        assert inside(folder, fine) == folder / fine
    hostile = ["", "/etc/passwd", "../secret", "sub/../../secret", "link", "up/secret", "a\0b", "round/x", ".."]
    for name in [*hostile, f"../{'x' * 300}", "\ud800"]:
        with pytest.raises(MedsynthError, match="not inside its folder") as refused:
            inside(folder, name)
        assert "secret" not in str(refused.value)
    (tmp_path / "other").symlink_to(folder)
    assert inside(Path(tmp_path / "other"), "a") == tmp_path / "other" / "a"
