"""What is said of the removal, how dates and references go, and what fails closed."""

import copy
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medsynth.data.dicom_file import quiet
from medsynth.errors import UnreadableError
from medsynth.identity.confidentiality import Option
from medsynth.identity.pixels import Box
from medsynth.identity.pseudonym import Pseudonymiser
from medsynth.identity.removal import IMPLEMENTATION_NAME, remove_identity
from medsynth.identity.removal_files import RemovalTask, remove_from_file
from tests.identity.planting import DEVICE, put

KEY = bytes(range(32))
NAMES = Pseudonymiser(KEY)


def cleaned(dataset: Dataset, **options: object) -> Dataset:
    return remove_identity(dataset, NAMES, **options)


def small() -> pydicom.FileDataset:
    return pydicom.dcmread(get_testdata_file("CT_small.dcm"))


def test_a_reference_to_another_file_meets_that_file() -> None:
    one, other = small(), small()
    other.SOPInstanceUID = "1.2.3.4"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
    nested = Dataset()
    nested.ReferencedSOPSequence = Items([item])
    nested.SeriesInstanceUID = one.SeriesInstanceUID
    other.ReferencedImageSequence = Items([copy.deepcopy(item)])
    other.ReferencedSeriesSequence = Items([nested])
    one, other = cleaned(one), cleaned(other)
    series = other.ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID != other.SOPInstanceUID
    assert series.SeriesInstanceUID == one.SeriesInstanceUID == other.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPClassUID == one.SOPClassUID
    assert one.SOPInstanceUID != remove_identity(small(), Pseudonymiser(b"x" * 32)).SOPInstanceUID
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID


def test_intervals_between_a_patients_studies_stay_and_patients_move_apart() -> None:
    first, second, stranger = small(), small(), small()
    first.StudyDate, second.StudyDate = "20240228", "20240301"
    second.AcquisitionDateTime = "20240301120000+0100"
    stranger.PatientID = "another"
    stranger.StudyDate = "20240228"
    moved = [np.datetime64(f"{one[:4]}-{one[4:6]}-{one[6:]}") for one in
             (cleaned(dataset).StudyDate for dataset in (first, second, stranger))]  # fmt: skip
    assert moved[1] - moved[0] == np.timedelta64(2, "D")
    assert moved[2] != moved[0] != np.datetime64("2024-02-28")
    assert cleaned(second).AcquisitionDateTime[8:] == "120000+0100"
    assert cleaned(second).AcquisitionDateTime[:8] == cleaned(second).StudyDate


def test_an_impossible_date_goes_and_a_required_one_is_made_up() -> None:
    source = small()
    with quiet():
        source.StudyDate, source.SeriesDate = "20230231", "2023"
    result = cleaned(source)
    assert result.StudyDate == ""  # Type 2
    assert "SeriesDate" not in result  # Type 3
    source.SOPClassUID = "1.2.3"
    assert cleaned(source).SeriesDate == "19000101"  # Type unknown


def test_the_result_says_what_was_done() -> None:
    result = cleaned(small(), boxes=[])
    assert result.PatientIdentityRemoved == "YES"
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"
    assert result.BurnedInAnnotation == "NO"
    codes = [item.CodeValue for item in result.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", "113105", "113107", "113108", "113109", "113111"]
    assert all(item.CodingSchemeDesignator == "DCM" for item in result.DeidentificationMethodCodeSequence)
    assert result.DeidentificationMethod[0] == "medsynth"
    assert len(result.DeidentificationMethod) == 1 + len(codes)
    assert result.PatientID == str(result.PatientName) == NAMES.patient(small().PatientID)


def test_only_what_was_applied_is_said() -> None:
    result = cleaned(small(), options=())
    assert [item.CodeValue for item in result.DeidentificationMethodCodeSequence] == ["113100"]
    assert result.LongitudinalTemporalInformationModified == "REMOVED"
    assert "BurnedInAnnotation" not in result
    assert not any(tag.is_private for tag in result)
    assert "PatientAge" not in result
    assert result.StudyDate == ""
    rows = {element.tag for element in result if element.VR in ("DA", "DT")}
    assert all(result[tag].value in ("", "19000101", "19000101000000") for tag in rows)
    one = cleaned(small(), options={Option.RETAIN_PATIENT_CHARACTERISTICS})
    assert one.PatientAge == small().PatientAge
    assert not any(
        int(element.tag) in DEVICE - {0x00080070} and element.value == small()[element.tag].value for element in one
    )


def test_a_face_that_was_removed_before_stays_said() -> None:
    source = small()
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "113102", "DCM", "x"
    source.DeidentificationMethodCodeSequence = Items([item])
    assert "113102" in [one.CodeValue for one in cleaned(source).DeidentificationMethodCodeSequence]


def test_the_input_is_left_alone() -> None:
    source = small()
    before = copy.deepcopy(source)
    cleaned(source, boxes=[Box(0, 0, 5, 5)])
    assert source == before
    assert source.file_meta == before.file_meta


def test_file_meta_and_preamble_are_new(tmp_path: Path) -> None:
    done = remove_from_file(RemovalTask(Path(get_testdata_file("CT_small.dcm")), tmp_path, KEY))
    content = (tmp_path / done.path).read_bytes()
    assert content[:132] == b"\0" * 128 + b"DICM"
    meta = pydicom.dcmread(tmp_path / done.path).file_meta
    assert meta.ImplementationVersionName == IMPLEMENTATION_NAME
    assert [element.tag.element for element in meta] == [0, 1, 2, 3, 0x10, 0x12, 0x13]


def test_the_patient_is_as_ingest_takes_it() -> None:
    source = small()
    assert cleaned(source).PatientID == cleaned(source, patient=str(source.PatientID)).PatientID
    del source.PatientID
    assert cleaned(source).PatientID == NAMES.patient(f"study:{source.StudyInstanceUID}")
    assert cleaned(source, patient="someone").PatientID == NAMES.patient("someone")


def test_what_is_no_instance_is_refused(test_data: Path) -> None:
    source = small()
    del source.SOPInstanceUID
    with pytest.raises(UnreadableError, match="which SOP instance"):
        cleaned(source)
    directory = pydicom.dcmread(get_testdata_file("DICOMDIR"))
    directory.SOPClassUID, directory.SOPInstanceUID = "1.2.840.10008.1.3.10", "1.2.3"
    with pytest.raises(UnreadableError, match="DICOMDIR"):
        cleaned(directory)


def test_sequences_without_end_are_cut_off() -> None:
    source = small()
    inner = Dataset()
    inner.SliceThickness = "1"
    for _ in range(40):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Items([inner])
        inner = outer
    source.ReferencedSeriesSequence = Items([inner])
    depth, level = 0, cleaned(source)
    while "ReferencedSeriesSequence" in level:
        depth, level = depth + 1, level.ReferencedSeriesSequence[0]
    assert 10 < depth <= 17


def test_a_value_of_another_vr_goes() -> None:
    source = small()
    put(source, 0x00180080, "LO", b"head")
    put(source, 0x00181000, "UT", b"head")
    result = cleaned(source)
    assert "RepetitionTime" not in result
    assert "DeviceSerialNumber" not in result


def test_what_stands_behind_the_pixels_is_not_read(tmp_path: Path) -> None:
    content = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    rows = b"\x28\0\x10\0US\2\0\1\0"
    for end in (rows, b"Dear Dr Doe, " * 9, b"\xff" * 99, b"\0" * 7):
        (tmp_path / "file.dcm").write_bytes(content + end)
        done = remove_from_file(RemovalTask(tmp_path / "file.dcm", tmp_path / "out", KEY))
        assert done.reason == ""
        assert pydicom.dcmread(tmp_path / "out" / done.path).Rows == 128
