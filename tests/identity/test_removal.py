"""What stays after removal: the scan, what the options retain, references and intervals; and what fails closed."""

import copy
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medsynth.data.dicom import held_by, read_dicom
from medsynth.data.dicom_file import quiet, read_header
from medsynth.data.dicom_slices import slices_of
from medsynth.data.dicom_volumes import split_volumes
from medsynth.errors import UnreadableError
from medsynth.identity.confidentiality import Option
from medsynth.identity.pixels import Box
from medsynth.identity.pseudonym import Pseudonymiser
from medsynth.identity.removal import IMPLEMENTATION_NAME, remove_identity
from medsynth.identity.removal_files import RemovalTask, read_whole, remove_from_file
from tests.identity.planting import DEVICE
from tests.identity.test_removal_tokens import REAL, first_file

KEY = bytes(range(32))
NAMES = Pseudonymiser(KEY)
DIFFUSION = [
    "dicom/mr_uih_dti_rotated", "dicom/dicom2nifti_tests/ge/dti/001", "dicom/dicom2nifti_tests/ge/dti/002",
]  # fmt: skip
SERIES = [
    *(folder for folder in REAL if folder not in DIFFUSION), "dicom/mr_ge_fruit_private156", "dicom/dicom2nifti_tests/siemens/anatomical/001",
    "dicom/dicom2nifti_tests/siemens/fmri/001", *DIFFUSION,
    "dicom/dicom2nifti_tests/generic/compressed_jpegls/001", "dicom/dicom2nifti_tests/generic/compressed_jpeg/001",
    "dicom/dicom2nifti_tests/generic/anatomical/002_non_isotropic", "phi/presidio",
]  # fmt: skip
KEPT = """
Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel PixelSpacing SliceThickness
SpacingBetweenSlices ImagePositionPatient ImageOrientationPatient SliceLocation RescaleSlope RescaleIntercept
RescaleType WindowCenter WindowWidth Modality SOPClassUID InstanceNumber SeriesNumber AcquisitionNumber KVP
XRayTubeCurrent Exposure ExposureTime ConvolutionKernel GantryDetectorTilt ReconstructionDiameter
DataCollectionDiameter PatientPosition RepetitionTime EchoTime InversionTime FlipAngle EchoNumbers EchoTrainLength
MagneticFieldStrength ScanningSequence SequenceVariant MRAcquisitionType NumberOfAverages PercentSampling
PixelBandwidth ImagedNucleus ImagingFrequency AcquisitionMatrix InPlanePhaseEncodingDirection DiffusionBValue
TemporalPositionIdentifier NumberOfTemporalPositions Manufacturer ManufacturerModelName SoftwareVersions
DeviceSerialNumber StationName PatientSex PatientSize PatientWeight PatientAge StudyTime SeriesTime AcquisitionTime
ContentTime BodyPartExamined ImageType ScanOptions NumberOfFrames PixelPaddingValue SmallestImagePixelValue
LargestImagePixelValue LossyImageCompression ReceiveCoilName SAR
"""


NO_SCANNERS_WORD = {"0Y", "['DERIVED', 'PRIMARY', 'POST_PROCESSED', 'RT', '', '', '', '', '100000']"}
"""An age that is none, and a free number: the only ones of KEPT that change in these series."""


def cleaned(dataset: Dataset, **options: object) -> Dataset:
    return remove_identity(dataset, NAMES, **options)


def small() -> pydicom.FileDataset:
    return pydicom.dcmread(get_testdata_file("CT_small.dcm"))


@pytest.mark.parametrize("folder", SERIES)
def test_the_scan_and_what_the_options_retain_stay(folder: str, test_data: Path) -> None:
    with quiet():
        source = read_whole(first_file(test_data / folder))
        result = cleaned(source)
        unlike = {}
        for keyword in KEPT.split():
            before, after = source.get(keyword), result.get(keyword)
            if before not in (None, "", [], "***") and str(before) != str(after):
                unlike[keyword] = (before, after)
    assert {key: before for key, (before, _) in unlike.items() if str(before) not in NO_SCANNERS_WORD} == {}


def volumes(paths: list[Path]) -> list[str | None]:
    """Names of the volumes that the files hold; [None] for one volume or radiograph."""
    with quiet():
        slices = [part for path in paths for part in held_by(path, read_header(path)).slices]
    found = split_volumes(slices) if slices else []
    return [volume.name for volume in found] if len(found) > 1 else [None]


@pytest.mark.parametrize("folder", SERIES)
def test_voxels_and_places_are_the_same(folder: str, test_data: Path, tmp_path: Path) -> None:
    files = [
        path
        for path in sorted((test_data / folder).iterdir())
        if path.suffix in ("", ".dcm") and path.name != "LICENSE"
    ]
    alone = len(files) > 20 or folder.startswith("phi") or folder.endswith("12bit_signed")  # no series, or not one
    wanted = files[:1] if alone else files
    done = [remove_from_file(RemovalTask(path, tmp_path, KEY)) for path in wanted]
    assert {one.reason for one in done} == {""}
    after = [tmp_path / one.path for one in done]
    names = volumes(wanted)
    assert volumes(after) == names
    for name in names:
        before, image = read_dicom(wanted, name), read_dicom(after, name)
        np.testing.assert_array_equal(image.array, before.array)
        np.testing.assert_allclose(image.geometry.affine, before.geometry.affine, atol=1e-9)
        assert (image.units, image.modality) == (before.units, before.modality)


@pytest.mark.parametrize("folder", DIFFUSION)
def test_what_tells_volumes_apart_stays(folder: str, test_data: Path) -> None:
    with quiet():
        source = read_whole(first_file(test_data / folder))
        result = cleaned(source)
        path = Path("anywhere")
        assert [part.marks for part in slices_of(path, result)] == [part.marks for part in slices_of(path, source)]
        assert any("b" in part.marks for part in slices_of(path, source))


@pytest.mark.parametrize("folder", SERIES)
def test_dciodvfy_is_no_worse_after(folder: str, test_data: Path, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    path = first_file(test_data / folder)
    done = remove_from_file(RemovalTask(path, tmp_path, KEY))
    before, after = errors_of(path), errors_of(tmp_path / done.path)
    assert sorted(set(after) - set(before)) == []


def errors_of(path: Path) -> list[str]:
    """Error lines of dciodvfy, the values left out."""
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, check=False)
    text = (done.stdout + done.stderr).decode("latin-1")
    return [re.sub(r"= <[^>]*>", "", line) for line in text.splitlines() if line.startswith("Error")]


def elements(dataset: Dataset) -> Iterator[pydicom.DataElement]:
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)


def test_references_agree_after_as_before(test_data: Path) -> None:
    source = read_whole(first_file(test_data / "dicom/mr_enhanced_philips"))
    with quiet():
        result = cleaned(source)
        before = [str(one.value) for one in elements(source) if one.VR == "UI" and not one.tag.is_private]
        kept = {str(one.value) for one in elements(result) if one.VR == "UI"}
    own = {uid for uid in before if not uid.startswith("1.2.840.10008.")}
    assert not own & kept
    mapped = {uid for uid in kept if uid.startswith("2.25.")}
    assert len(mapped) >= 8
    label = result.DimensionOrganizationSequence[0].DimensionOrganizationUID
    assert {item.DimensionOrganizationUID for item in result.DimensionIndexSequence} == {label}


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


@pytest.mark.parametrize("folder", SERIES)
def test_removing_twice_changes_only_what_depends_on_the_key(folder: str, test_data: Path) -> None:
    with quiet():
        once = cleaned(read_whole(first_file(test_data / folder)), boxes=[])
        twice = cleaned(once, boxes=[])
        pairs = list(zip(elements(once), elements(twice), strict=True))
    must = {"UI", "DA", "DT"}
    names = ("PatientID", "PatientName")
    for before, after in pairs:
        assert before.tag == after.tag
        if before.VR != "SQ" and before.VR not in must and before.keyword not in names:
            assert before.value == after.value, before.tag
    assert once.PatientID != twice.PatientID


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
