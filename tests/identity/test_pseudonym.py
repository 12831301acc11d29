"""Pseudonyms depend on the key, tell nothing without it, and the key stays with its owner."""

import hashlib
import hmac
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medsynth.errors import MedsynthError
from medsynth.identity.pseudonym import Pseudonymiser, key_path, load_key, write_private


def test_it_is_hmac_sha256_of_the_identity():
    key = bytes(range(32))
    expected = hmac.new(key, json.dumps(["patient", "4711"]).encode(), hashlib.sha256).hexdigest()
    assert Pseudonymiser(key).patient("4711") == "p" + expected[:16]


def test_the_same_key_gives_the_same_pseudonym_and_another_key_another():
    one, same, other = Pseudonymiser(bytes(32)), Pseudonymiser(bytes(32)), Pseudonymiser(b"x" * 32)
    assert one.patient("Müller") == same.patient("Mu\u0308ller ") != other.patient("Müller")
    assert one.patient("4711") != one.patient("4712")


def test_parts_and_domains_do_not_run_into_each_other():
    names = Pseudonymiser(bytes(32))
    assert names.case("ab", "c") != names.case("a", "bc")
    assert names.case("p", "x")[1:] != names.patient("p")[1:]
    assert names.digest("one", "x") != names.digest("two", "x")


def test_a_short_key_is_refused():
    with pytest.raises(MedsynthError):
        Pseudonymiser(b"short")


def test_the_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "deep" / "er" / "key"
    key = load_key(path, tmp_path / "out")
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_key(path, tmp_path / "out") == key
    assert load_key(tmp_path / "another", tmp_path / "out") != key
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_all_who_come_first_at_once_get_one_key(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_key(tmp_path / "key", tmp_path / "out"), range(64)))
    assert len(keys) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    load_key(tmp_path / "key", tmp_path / "out")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(MedsynthError, match="chmod 600"):
        load_key(tmp_path / "key", tmp_path / "out")


def test_a_key_inside_out_is_refused_through_links_too(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(MedsynthError, match="inside"):
        load_key(out / "key", out)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(MedsynthError, match="inside"):
        load_key(tmp_path / "link" / "key", out)
    assert not list(out.iterdir())


@pytest.mark.parametrize("content", [b"", b"secret", b"\xff" * 64, b"0" * 63, b"0" * 65])
def test_what_is_no_key_is_refused(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(MedsynthError, match="64 hexadecimal digits"):
        load_key(tmp_path / "key", tmp_path / "out")
    assert (tmp_path / "key").read_bytes() == content


def test_where_the_key_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MEDSYNTH_KEY", raising=False)
    assert key_path(None) == tmp_path / ".config" / "medsynth" / "pseudonym.key"
    monkeypatch.setenv("MEDSYNTH_KEY", str(tmp_path / "named"))
    assert key_path(None) == tmp_path / "named"
    assert key_path(Path("given")) == Path("given")


def test_a_private_file_is_its_owners_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        write_private(tmp_path / "list", "one\n")
        write_private(tmp_path / "list", "two\n")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "list").stat().st_mode) == 0o600
    assert (tmp_path / "list").read_text() == "two\n"
    assert [file.name for file in tmp_path.iterdir()] == ["list"]
