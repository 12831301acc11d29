"""Trees without identity: names, patients, lists, several processes, and what is refused."""

import json
import shutil
import stat
from functools import partial
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from medsynth.data.dicom_file import quiet
from medsynth.errors import MedsynthError
from medsynth.files import sha256_file
from medsynth.identity.pixels import Box
from medsynth.identity.pseudonym import Pseudonymiser
from medsynth.identity.removal_files import RemovalTask, remove_from_file, remove_from_tree
from medsynth.ingest.pool import in_processes

KEY = bytes(range(32))


def make_source(folder: Path) -> list[Path]:
    """Two patients, three instances, a directory, a text and a file cut short."""
    folder.mkdir()
    for number, patient in enumerate(("4711", "4711", "0815")):
        with quiet():
            dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
            dataset.PatientID = patient
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
            dataset.save_as(folder / f"Doe^John {number}.dcm")
    shutil.copy(get_testdata_file("DICOMDIR"), folder / "DICOMDIR")
    (folder / "letter").write_text("Dear Dr Doe")
    (folder / "cut.dcm").write_bytes((folder / "Doe^John 0.dcm").read_bytes()[:30000])
    return sorted(folder.iterdir())


def tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def test_a_tree_is_named_by_what_is_new(tmp_path: Path) -> None:
    files = make_source(tmp_path / "Doe")
    report = remove_from_tree(files, tmp_path / "out", KEY)
    assert (report.written, report.patients) == (3, 2)
    assert sum(report.refused.values()) == 3
    assert all("; " in reason and "Doe" not in reason for reason in report.refused)
    names = Pseudonymiser(KEY)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {names.patient("4711"), names.patient("0815")}
    for path in (tmp_path / "out").rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        assert path.name == f"{dataset.SOPInstanceUID}.dcm"
        assert path.parts[-4:-1] == (dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
    assert not [name for name in tree(tmp_path / "out") if "Doe" in name]


def test_processes_write_the_same_bytes(tmp_path: Path) -> None:
    files = make_source(tmp_path / "source")
    one = remove_from_tree(files, tmp_path / "one", KEY)
    two = remove_from_tree(files, tmp_path / "two", KEY, workers=2, each=in_processes, find_boxes=corner)
    assert (two.written, two.patients, sum(two.refused.values())) == (
        one.written,
        one.patients,
        sum(one.refused.values()),
    )
    again = remove_from_tree(files, tmp_path / "again", KEY, each=partial(in_processes), find_boxes=corner)
    assert again == two
    assert tree(tmp_path / "two") == tree(tmp_path / "again")
    assert set(tree(tmp_path / "one")) == set(tree(tmp_path / "two"))
    assert tree(tmp_path / "one") != tree(tmp_path / "two")  # the corner is black


def corner(dataset: Dataset) -> list[Box]:
    assert dataset.pixel_array.ndim == 2
    return [Box(0, 0, 9, 9)]


def test_boxes_are_asked_of_the_data_set_as_it_came(tmp_path: Path) -> None:
    (path, *_) = make_source(tmp_path / "source")
    path = tmp_path / "source" / "Doe^John 1.dcm"
    asked = []
    done = remove_from_file(
        RemovalTask(path, tmp_path / "out", KEY, find_boxes=lambda dataset: asked.append(str(dataset.PatientID)) or [])
    )
    assert asked == ["4711"]
    assert pydicom.dcmread(tmp_path / "out" / done.path).BurnedInAnnotation == "NO"


def test_the_list_of_patients_is_private_and_grows(tmp_path: Path) -> None:
    files = make_source(tmp_path / "source")
    links = tmp_path / "private" / "patients.jsonl"
    remove_from_tree(files[2:4], tmp_path / "out", KEY, links=links)
    assert stat.S_IMODE(links.stat().st_mode) == 0o600
    remove_from_tree(files[4:5], tmp_path / "out", KEY, links=links)
    assert stat.S_IMODE(links.stat().st_mode) == 0o600
    found = [json.loads(line) for line in links.read_text().splitlines()]
    names = Pseudonymiser(KEY)
    assert found == [{"patient": one, "pseudonym": names.patient(one)} for one in ("0815", "4711")]
    remove_from_tree(files, tmp_path / "other", KEY)
    assert not [path for path in tmp_path.rglob("*.jsonl") if path != links]


def test_the_list_of_patients_lies_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(MedsynthError, match="inside"):
        remove_from_tree([], tmp_path / "out", KEY, links=tmp_path / "out" / "list.jsonl")
    (tmp_path / "taken").write_text("something else\n")
    with pytest.raises(MedsynthError, match="no list of patients"):
        remove_from_tree([], tmp_path / "out", KEY, links=tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "something else\n"


def test_a_copy_of_an_instance_is_counted(tmp_path: Path) -> None:
    files = make_source(tmp_path / "source")
    shutil.copy(files[2], tmp_path / "copy.dcm")
    report = remove_from_tree([files[2], tmp_path / "copy.dcm"], tmp_path / "out", KEY)
    assert report.written == 1
    assert list(report.refused.values()) == [1]


def test_several_uids_make_no_name(tmp_path: Path) -> None:
    with quiet():
        dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        dataset.StudyInstanceUID = ["1.2.3"] * 9
        dataset.save_as(tmp_path / "file.dcm")
    done = remove_from_file(RemovalTask(tmp_path / "file.dcm", tmp_path / "out", KEY))
    assert (done.path, done.patient) == (None, "")
    assert "several UIDs" in done.reason
    assert not (tmp_path / "out").exists()


def test_nothing_partial_stays_behind(tmp_path: Path) -> None:
    remove_from_tree(make_source(tmp_path / "source"), tmp_path / "out", KEY)
    assert not list((tmp_path / "out").rglob(".partial*"))
