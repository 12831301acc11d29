"""The checker and removal know nothing of each other, and agree: on what names somebody, and on what does not."""

from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset

from medsynth.data.dicom_file import quiet
from medsynth.identity.known_identifiers import KnownIdentifiers
from medsynth.identity.removal_files import RemovalTask, remove_from_file
from tests.identity.clean_files import save
from tests.identity.planted import plants
from tests.identity.planted_claims import claiming
from tests.identity.planting import planted_file
from tests.identity.seen import findings_of, unseen
from tests.identity.test_removal_tokens import REAL, first_file

KEY = bytes(range(32))
SERIES = [folder for folder in REAL if folder.startswith("dicom/")]


def removed(path: Path, out: Path) -> Path:
    done = remove_from_file(RemovalTask(path, out, KEY))
    assert done.path is not None, done.reason
    return out / done.path


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "reportsi.dcm"])
def test_the_checker_alone_sees_the_tokens_that_removal_is_tested_with(name: str, tmp_path: Path) -> None:
    with quiet():
        content, tokens = planted_file(pydicom.dcmread(get_testdata_file(name)))
    (tmp_path / "planted.dcm").write_bytes(content)
    missed = unseen(tmp_path / "planted.dcm", tokens)
    assert len(set(tokens)) > 1000
    assert missed == []
    save(claiming(), tmp_path / "clean.dcm")
    assert unseen(tmp_path / "clean.dcm", tokens[:5]) == sorted(tokens[:5])


@pytest.mark.parametrize("folder", SERIES)
def test_nothing_is_found_in_real_files_after_removal(folder: str, test_data: Path, tmp_path: Path) -> None:
    source = first_file(test_data / folder)
    written = removed(source, tmp_path)
    assert findings_of(written, written.relative_to(tmp_path).as_posix()) == []
    assert findings_of(source)


def test_what_the_checker_is_tested_with_is_gone_after_removal(tmp_path: Path) -> None:
    """What the options retain apart: what Retain Device Identity keeps may hold anything."""
    retained = ("SerialNumber", "ModelName", "StationName", "CoilName", "SoftwareVersions")
    known = KnownIdentifiers(["Quandt", "Ottilie", "Voss^Ada", "Thandiwe", "Siobhan", "83749201"])
    looked, left = 0, []
    for number, plant in enumerate(plants()[::2]):  # the others are in benchmarks/identity.py
        folder = tmp_path / str(number)
        folder.mkdir()
        with quiet():
            plant.write(folder)
        if (folder / "IM-0001.dcm").exists() and not any(keyword in plant.place for keyword in retained):
            written = removed(folder / "IM-0001.dcm", folder / "out")
            found = [one for one in findings_of(written) if one.kind != "declared"]
            looked += 1
            if found or known.find(written.read_bytes()):
                left.append((plant.place, found))
    assert looked > 100
    assert [place for place, _ in left if "ContextGroupVersion" not in place] == []


def kept(tmp_path: Path, **values: object) -> FileDataset:
    dataset = claiming()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return pydicom.dcmread(removed(save(dataset, tmp_path / "x.dcm"), tmp_path / "out"))


def test_long_numbers_stay_where_so_much_is_counted(tmp_path: Path) -> None:
    result = kept(tmp_path, SeriesNumber="83749201", CountsAccumulated="83749201", InstanceNumber="999999")
    assert (result.SeriesNumber, result.CountsAccumulated, result.InstanceNumber) == (None, 83749201, 999999)


def test_numbers_that_spell_a_name_go_and_tags_stay(tmp_path: Path) -> None:
    name = [*memoryview(b"Quandt^Ottilie").cast("H")]
    result = kept(tmp_path, AcquisitionMatrix=name[:4], FrameIncrementPointer=[0x00181063, 0x00181065])
    assert "AcquisitionMatrix" not in result
    assert result.FrameIncrementPointer == [0x00181063, 0x00181065]


def test_names_go_from_the_device_and_its_codes_stay(tmp_path: Path) -> None:
    result = kept(
        tmp_path, StationName="Voss^Ada", DeviceSerialNumber="35135", SoftwareVersions=["syngo MR B17", "a@b.de"]
    )
    assert "StationName" not in result or not result.StationName
    assert (result.DeviceSerialNumber, result.SoftwareVersions) == ("35135", "syngo MR B17")


@pytest.mark.parametrize(
    ("written", "stays"),
    [
        ("Ottilie Quandt", ""),
        ("Siemens^Werner", "Siemens"),
        ("SIEMENS", "SIEMENS"),
        ("Philips Medical Systems, Inc.", "Philips Medical Systems, Inc."),
        ("Agfa-Gevaert AG", "Agfa-Gevaert AG"),
        ("TOSHIBA_MEC", "TOSHIBA_MEC"),
    ],
)
def test_a_maker_is_a_maker_and_no_person(written: str, stays: str, tmp_path: Path) -> None:
    result = kept(tmp_path, Manufacturer=written, SecondaryCaptureDeviceManufacturer=written)
    assert result.get("Manufacturer", "") == stays
    assert result.get("SecondaryCaptureDeviceManufacturer", "") == stays
