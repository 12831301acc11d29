"""Nothing that was planted is left: tokens in every VR and every corner of real files, looked for as bytes."""

from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medsynth.data.dicom_file import quiet
from medsynth.identity.removal_files import RemovalTask, remove_from_file
from tests.identity.planting import Planter, found_in, planted_file, put

KEY = bytes(range(32))
REAL = [
    "dicom/ct_ge_tilt_variable_spacing",
    "dicom/mr_siemens_12bit_signed",
    "dicom/mr_uih_dti_rotated",
    "dicom/mr_enhanced_philips",
    "dicom/dicom2nifti_tests/generic/compressed_j2k/001",
    "dicom/dicom2nifti_tests/generic/compressed_rle/001",
    "dicom/dicom2nifti_tests/ge/anatomical/001_single_slice",  # implicit VR
    "phi/deid_data_ultrasound",  # JPEG, colour
]
PYDICOM = [
    "CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "JPEG2000.dcm",
    "SC_rgb_jpeg_gdcm.dcm", "SC_ybr_full_422_uncompressed.dcm", "rtplan.dcm", "rtdose.dcm",
    "reportsi.dcm", "liver_1frame.dcm", "ExplVR_BigEnd.dcm", "examples_palette.dcm", "examples_overlay.dcm",
    "waveform_ecg.dcm",
]  # fmt: skip


def first_file(folder: Path) -> Path:
    return sorted(path for path in folder.iterdir() if path.suffix in ("", ".dcm") and path.name != "LICENSE")[0]


def leaked(path: Path, tmp_path: Path) -> tuple[int, list[bytes]]:
    """How many tokens were planted into the file, and those left after removal."""
    with quiet():
        source = pydicom.dcmread(path)
        content, tokens = planted_file(source)
    planted = tmp_path / "planted.dcm"
    planted.write_bytes(content)
    if source.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        assert set(tokens) == set(found_in(content, tokens))  # else the search would prove nothing
    done = remove_from_file(RemovalTask(planted, tmp_path / "out", KEY))
    assert done.reason == ""
    written = (tmp_path / "out" / done.path).read_bytes()
    assert found_in(done.path.encode(), tokens) == []
    return len(set(tokens)), found_in(written, tokens)


@pytest.mark.parametrize("name", PYDICOM)
def test_no_token_is_left_in_files_of_pydicom(name: str, tmp_path: Path) -> None:
    planted, left = leaked(Path(get_testdata_file(name)), tmp_path)
    assert planted >= 200
    assert left == []


@pytest.mark.parametrize("folder", REAL)
def test_no_token_is_left_in_real_files(folder: str, test_data: Path, tmp_path: Path) -> None:
    planted, left = leaked(first_file(test_data / folder), tmp_path)
    assert planted >= 200
    assert left == []


def test_the_search_sees_wide_and_swapped_and_other_letters() -> None:
    token = b"Zq0001Wkjx"
    for content in (token.lower(), token.decode().encode("utf-16-le"), b"x" + token.decode().encode("utf-16-be")):
        assert found_in(b"ab" + content + b"cd", [token]) == [token]
    assert found_in(b"qZ0010kWxj", [token]) == [token]
    assert found_in(b"Zq0002Wkjx", [token]) == []


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192"])
def test_letters_beyond_ascii_go_too(charset: str, tmp_path: Path) -> None:
    with quiet():
        source = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        source.SpecificCharacterSet = charset
        for keyword in ("PatientName", "StudyDescription", "ImageComments", "FilterType", "ConvolutionKernel"):
            setattr(source, keyword, "Zäqüß")
        source.Manufacturer = "Zäqüß"
        source.save_as(tmp_path / "planted.dcm")
    done = remove_from_file(RemovalTask(tmp_path / "planted.dcm", tmp_path / "out", KEY))
    written = (tmp_path / "out" / done.path).read_bytes()
    assert not any("Zäqüß".encode(kind) in written for kind in ("utf-8", "latin-1", "utf-16-le"))
    assert all(
        byte < 128 for byte in str(pydicom.dcmread(tmp_path / "out" / done.path, stop_before_pixels=True)).encode()
    )


def test_a_creator_is_no_place_for_a_name(tmp_path: Path) -> None:
    planter = Planter()
    with quiet():
        source = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        put(source, 0x00190030, "LO", planter.value("LO"))
        put(source, 0x0019300C, "IS", b"1000")
        source.save_as(tmp_path / "planted.dcm")
    done = remove_from_file(RemovalTask(tmp_path / "planted.dcm", tmp_path / "out", KEY))
    assert found_in((tmp_path / "out" / done.path).read_bytes(), planter.tokens) == []
