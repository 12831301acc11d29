"""What stays of real series: the scan, what the options retain, references; and nothing gets less valid."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from medsynth.data.dicom import held_by, read_dicom
from medsynth.data.dicom_file import quiet, read_header
from medsynth.data.dicom_slices import slices_of
from medsynth.data.dicom_volumes import split_volumes
from medsynth.identity.pseudonym import Pseudonymiser
from medsynth.identity.removal import remove_identity
from medsynth.identity.removal_files import RemovalTask, read_whole, remove_from_file
from tests.identity.test_removal_tokens import REAL, first_file

KEY = bytes(range(32))
NAMES = Pseudonymiser(KEY)
DIFFUSION = [
    "dicom/mr_uih_dti_rotated", "dicom/dicom2nifti_tests/ge/dti/001", "dicom/dicom2nifti_tests/ge/dti/002",
]  # fmt: skip
SERIES = [
    *(folder for folder in REAL if folder not in DIFFUSION), "dicom/mr_ge_fruit_private156",
    "dicom/dicom2nifti_tests/siemens/anatomical/001",
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


NO_SCANNERS_WORD = {"0Y", "747197466", "['DERIVED', 'PRIMARY', 'POST_PROCESSED', 'RT', '', '', '', '', '100000']"}
"""An age that is none, a Series Number of nine digits, a free number: the only ones of KEPT that change here."""


def cleaned(dataset: Dataset, **options: object) -> Dataset:
    return remove_identity(dataset, NAMES, **options)


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
    alone = len(files) > 16 or folder.startswith("phi") or folder.endswith("12bit_signed")  # no series, or not one
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
