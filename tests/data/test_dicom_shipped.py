"""The files that pydicom ships for its own tests: each is read right, or refused by name."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from medsynth.data.dicom import read_dicom
from medsynth.errors import UnreadableError

FOLDER = Path(pydicom.data.__file__).parent
NAMED = (
    r"Storage.* (holds no image|without its size|is not read yet|in colour|is not monochrome)|an unknown SOP class|"
    r"cut short or is no DICOM|a DICOM data set without preamble|the pixels are missing, cut short"
)


PADDED = {"693_J2KI.dcm": -3024, "J2K_pixelrep_mismatch.dcm": -3024}
"""Values of padding: stored -2000."""


def shipped() -> list[Path]:
    other = {".py", ".pyc", ".txt", ".md", ".json", ".dump", ".icc", ".gz"}
    return sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in other)


GREY = {
    "JPGExtended.dcm": "JPEG Extended (Process 2 and 4)",
    "JPEGLSNearLossless_08.dcm": "JPEG-LS Lossy (Near-Lossless) Image Compression",
    "JPEGLSNearLossless_16.dcm": "JPEG-LS Lossy (Near-Lossless) Image Compression",
    "JPEG2000.dcm": "JPEG 2000 Image Compression",
    "image_dfl.dcm": "Deflated Explicit VR Little Endian",
}


@pytest.mark.parametrize("name", GREY)
def test_a_grey_secondary_capture_would_be_read_as_a_radiograph(tmp_path, name):
    """Syntaxes of which no radiograph is at hand."""
    dataset = pydicom.dcmread(FOLDER / "test_files" / name)
    assert dataset.file_meta.TransferSyntaxUID.name == GREY[name]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.save_as(tmp_path / "x")
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x"))).T
    rounding = 1 if "JPEG Extended" in GREY[name] else 0  # the standard leaves the last bit of a cosine transform open
    np.testing.assert_allclose(read_dicom([tmp_path / "x"]).array, theirs.reshape(theirs.shape[:2]), atol=rounding)


def test_each_is_read_as_itk_reads_it_or_refused_by_name():
    outcome, refusals = Counter(), set()
    for path in shipped():
        try:
            image = read_dicom([path])
        except UnreadableError as refusal:
            refusals.add(str(refusal))
            outcome["refused"] += 1
            continue
        outcome[image.modality] += 1
        place, read = image.geometry.to_lps(), sitk.ReadImage(str(path))
        if image.modality in ("CT", "MR"):
            np.testing.assert_allclose(read.GetOrigin(), place.origin, atol=1e-3, err_msg=path.name)
            np.testing.assert_allclose(read.GetSpacing()[:2], place.spacing[:2], atol=1e-3, err_msg=path.name)
            np.testing.assert_allclose(read.GetDirection(), place.direction.ravel(), atol=1e-4, err_msg=path.name)
        theirs = sitk.GetArrayFromImage(read).T
        other = np.float32(theirs).reshape(image.array.shape) != np.float32(image.array)
        if other.any():  # padding alone, which became the lowest value of the image
            assert set(np.unique(theirs.reshape(other.shape)[other])) == {PADDED[path.name]}
            assert (image.array[other] == image.array.min()).all()
    assert [refusal for refusal in refusals if not re.search(NAMED, refusal)] == []
    least = {"CT": 14, "MR": 26, "CR": 3, "refused": 150}
    assert {name: outcome[name] >= count for name, count in least.items()} == dict.fromkeys(least, True)
