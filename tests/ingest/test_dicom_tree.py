"""Trees of DICOM as discs and archives leave them: what the files say decides, one bad file ends nothing else."""

import random
import shutil
from collections import defaultdict
from pathlib import Path

import pydicom
import pytest

from medsynth.ingest.layouts import find_cases
from tests.data.test_dicom import oblique, values, write_series
from tests.data.test_dicom_limits import inserted, nested
from tests.ingest.sources import cases, refusals, run

DISC = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests"


def planned(folder):
    return sorted(
        (case.patient, sorted(path.name for channel in case.channels for path in channel.paths))
        for case in find_cases(folder).cases
    )


def on_disc() -> list[Path]:
    records = pydicom.dcmread(DISC / "DICOMDIR").DirectoryRecordSequence
    return [DISC.joinpath(*record.ReferencedFileID) for record in records if "ReferencedFileID" in record]


@pytest.fixture
def disc(tmp_path):
    """The disc alone: other tests' files lie beside it."""
    source = tmp_path / "disc"
    source.mkdir()
    for name in {path.relative_to(DISC).parts[0] for path in on_disc()} | {"DICOMDIR", "DICOMDIR-bigEnd"}:
        (source / name).symlink_to(DISC / name)
    return source


def test_a_disc_holds_the_series_that_its_directory_names(disc):
    series = defaultdict(list)
    for path in on_disc():
        one = pydicom.dcmread(path, stop_before_pixels=True)
        key = (one.PatientID, one.SeriesInstanceUID, one.SOPInstanceUID if one.Modality == "CR" else "")
        series[key].append(path.name)
    assert len(series) == 13
    assert planned(disc) == sorted((key[0], sorted(names)) for key, names in series.items())
    assert len(find_cases(disc).seen) == 13  # a DICOMDIR is no series


def test_folders_and_names_of_files_mean_nothing(tmp_path, disc):
    files = on_disc()
    random.Random(0).shuffle(files)
    number = {}
    for k, path in enumerate(files):
        number[f"{k:04d}"] = path.name
        folder = tmp_path / "s" / f"{k % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{k:04d}")
    mixed = sorted((patient, sorted(number[name] for name in names)) for patient, names in planned(tmp_path / "s"))
    assert mixed == planned(disc)


def cut(path):
    path.write_bytes(path.read_bytes()[:600])


@pytest.mark.parametrize("harm", [cut, lambda path: inserted(path, nested(400)), lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_file_ends_itself_and_its_series_and_not_the_run(tmp_path, harm, workers):
    (tmp_path / "s").mkdir()
    for k in range(3):
        paths = write_series(tmp_path / "s" / f"{k}", oblique(k), values())
    middle = sorted(paths, key=lambda path: tuple(pydicom.dcmread(path).ImagePositionPatient))[1]
    harm(middle)
    report = run(tmp_path / "s", tmp_path / "out", workers=workers)
    assert report.exit_code == 1
    assert len(cases(tmp_path / "out")) == 2
    reasons = " ".join(line["reason"] for line in refusals(tmp_path / "out"))
    # A file without a series of its own is a case by itself, and its series lacks a slice.
    assert "missing slices: 1" in reasons or "without its size: the file is cut short" in reasons


@pytest.mark.parametrize("implicit", [True, False])
def test_a_data_set_without_the_head_of_a_file_is_refused_by_name(tmp_path, implicit):
    write_series(tmp_path / "s", oblique(0), values())
    path = next(path for path in (tmp_path / "s").iterdir() if path.is_file())
    dataset = pydicom.dcmread(path)
    with (tmp_path / "s" / "0001").open("wb") as file:
        pydicom.filewriter.write_dataset(writer(file, implicit), dataset)
    run(tmp_path / "s", tmp_path / "out")
    (said,) = refusals(tmp_path / "out")
    assert said["reason"] == "a DICOM data set without preamble and file meta information (PS3.10 7.1)"
    assert len(cases(tmp_path / "out")) == 1
    (tmp_path / "s" / "0001").write_bytes(b"\x08\0\5\0nothing of the kind")
    run(tmp_path / "s", tmp_path / "again")
    assert not (tmp_path / "again" / "refused.jsonl").exists()


def writer(file, implicit):
    writer = pydicom.filebase.DicomFileLike(file)
    writer.is_little_endian, writer.is_implicit_VR = True, implicit
    return writer
