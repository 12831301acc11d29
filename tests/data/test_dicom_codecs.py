"""Compressions: the voxels of the plain file, or the package that is missing."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from medsynth.data import dicom_file, dicom_pixels
from medsynth.data.dicom import read_dicom
from medsynth.errors import UnreadableError
from tests.data.test_dicom import deflated, oblique, values, write_series

TREE = "dicom/dicom2nifti_tests"


@pytest.mark.data
@pytest.mark.parametrize("form", ["compressed", "compressed_j2k", "compressed_jpeg", "compressed_jpegls"])
def test_every_lossless_compression_gives_the_voxels_of_run_length_encoding(test_data, form):
    plain = read_dicom(sorted((test_data / TREE / "generic/compressed_rle/001").iterdir()))
    packed = read_dicom(sorted((test_data / TREE / "generic" / form / "001").iterdir()))
    assert (packed.array == plain.array).all()
    assert packed.geometry.is_close(plain.geometry)


def test_a_deflated_series_is_read_within_a_limit(tmp_path, monkeypatch):
    """Half a megabyte can open to a gigabyte."""
    plain = write_series(tmp_path / "plain", oblique(0), values())
    packed = write_series(tmp_path / "packed", oblique(0), values(), deflated)
    assert b"Nobody" in plain[0].read_bytes()
    assert b"Nobody" not in packed[0].read_bytes()
    one, other = read_dicom(plain), read_dicom(packed)
    assert (one.array == other.array).all()
    assert one.geometry.is_close(other.geometry)
    monkeypatch.setattr(dicom_file, "_LARGEST_INFLATED", 400)
    with pytest.raises(UnreadableError, match="opens to more than 512 MB; save it again"):
        read_dicom(packed)


def test_without_a_decoder_the_way_out_is_this_projects_own(tmp_path, monkeypatch):
    def lossless(dataset, _):
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        dataset.PixelData = encapsulate([dataset.PixelData])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    paths = write_series(tmp_path / "s", oblique(0), np.zeros((6, 5, 4), np.int16), lossless)
    monkeypatch.setattr(
        dicom_pixels,
        "get_decoder",
        lambda _: SimpleNamespace(is_available=False, missing_dependencies=["x - requires pylibjpeg-libjpeg>=2.1"]),
    )
    with pytest.raises(
        UnreadableError,
        match=r"for JPEG Lossless.* \(pylibjpeg-libjpeg not installed\); pip install '\.\[codecs\]' in the folder",
    ):
        read_dicom(paths)


@pytest.mark.data
def test_a_missing_decoder_is_named_with_its_extra(test_data):
    script = (
        "import sys\n"
        "for name in ('pylibjpeg', 'libjpeg', 'openjpeg', 'jpeg_ls', 'gdcm'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from medsynth.data.dicom import read_dicom\n"
        "read_dicom(sorted(Path(sys.argv[1]).iterdir()))\n"
    )
    folder = test_data / TREE / "generic/compressed_jpeg/001"
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False)
    assert "no decoder for JPEG Lossless" in done.stderr
    assert "(pylibjpeg, pylibjpeg-libjpeg not installed)" in done.stderr
    assert "pip install '.[codecs]' in the folder of medsynth's source" in done.stderr
