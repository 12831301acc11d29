"""What lies in an out from before."""

import pytest

from medsynth.errors import MedsynthError
from medsynth.export.leftovers import files_before, require_none_left
from medsynth.files import write_text


def test_pieces_of_a_kill_go_and_those_of_another_call_stay(tmp_path):
    for name in (".partial-00.nii.gz", ".partial-11.nii.gz", "deep/a.nii.gz"):
        write_text(tmp_path / name, "x")
    before = files_before(tmp_path)
    (tmp_path / ".partial-11.nii.gz").write_text("another call writes it")
    write_text(tmp_path / ".partial-22.nii.gz", "began in the meantime")
    write_text(tmp_path / "deep" / "a.nii.gz", "x")
    require_none_left(tmp_path, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial-11.nii.gz", ".partial-22.nii.gz", "deep"]


def test_a_file_of_another_export_is_refused_though_a_new_one_has_its_bytes(tmp_path):
    for name in ("a", "b"):
        write_text(tmp_path / name, "x")
    before = files_before(tmp_path)
    write_text(tmp_path / "a", "x")
    with pytest.raises(MedsynthError, match="holds 1 files that this export did not write"):
        require_none_left(tmp_path, before)
    assert (tmp_path / "b").exists()
    write_text(tmp_path / "b", "x")
    require_none_left(tmp_path, before)
    require_none_left(tmp_path / "missing", files_before(tmp_path / "missing"))
