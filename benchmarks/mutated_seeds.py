"""Whole files to mutate: those that pydicom ships, real scans where they are at hand, and NIfTI of every kind."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pydicom
from mutations import ANY, Mutation
from mutations_dicom import DICOM
from mutations_nifti import NIFTI, PACKED
from nibabel.analyze import AnalyzeImage
from nibabel.nifti2 import Nifti2Image
from numpy.typing import NDArray

from medsynth.data.dicom import read_dicom
from medsynth.data.nifti import read_nifti
from medsynth.errors import MedsynthError

_SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
_NAMES = (
    "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "CT_small.dcm",
    "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_padded.dcm", "J2K_pixelrep_mismatch.dcm",
    "693_J2KI.dcm", "image_dfl.dcm", "JPGExtended.dcm", "JPEGLSNearLossless_16.dcm", "nested_priv_SQ.dcm",
    "rtstruct.dcm", "rtdose_1frame.dcm", "test-SR.dcm", "examples_overlay.dcm", "liver_1frame.dcm",
)  # fmt: skip
_LARGEST = 600_000


class Seed(NamedTuple):
    """A whole file (or pair) and how it is changed.

    Args:
        name: of the seed.
        files: bytes by the ending of the name; the first is what a reader is given.
        changed: ending of the one that is mutated.
        mutations: that are tried on it.
        kind: "dicom" or "nifti".
    """

    name: str
    files: dict[str, bytes]
    changed: str
    mutations: tuple[Mutation, ...]
    kind: str


def shipped_dicom() -> Iterator[Seed]:
    """Of pydicom's own test files."""
    for name in _NAMES:
        raw = (_SHIPPED / name).read_bytes()
        if len(raw) <= _LARGEST:
            yield Seed(f"pydicom {name}", {".dcm": raw}, ".dcm", DICOM, "dicom")


def real_dicom(data: Path) -> Iterator[Seed]:
    """The first file of each folder of real scans."""
    folders = sorted({path.parent for path in (data / "dicom").rglob("*") if path.is_file()})
    for folder in folders:
        for path in sorted(folder.iterdir()):
            raw = path.read_bytes() if path.is_file() else b""
            if raw[128:132] == b"DICM" and len(raw) <= _LARGEST:
                name = folder.relative_to(data).as_posix()
                yield Seed(name, {".dcm": raw}, ".dcm", DICOM, "dicom")
                break


def shipped_nifti() -> Iterator[Seed]:
    """Slices that pydicom ships as NIfTI of every kind."""
    slices = [read_dicom([_SHIPPED / name]).array for name in ("MR_small.dcm", "MR_small_padded.dcm")]
    volume = np.concatenate([*slices, slices[0][::-1], slices[1][:, ::-1]], axis=2)
    affine = np.diag([0.9, 0.9, 2.0, 1.0])
    yield from _kinds("shipped", volume, affine)


def real_nifti(data: Path) -> Iterator[Seed]:
    """Real crops of MR: an image, a label map, and the kinds of the image."""
    first = sorted((data / "hippocampus" / "images").iterdir())[0]
    try:
        found = read_nifti(first)
    except MedsynthError:
        return
    yield from _kinds("hippocampus", found.array, found.geometry.affine)
    label = sorted((data / "hippocampus" / "labels").iterdir())[0]
    yield Seed("hippocampus label", {".nii.gz": label.read_bytes()}, ".nii.gz", ANY, "nifti")


def _kinds(name: str, volume: NDArray[np.generic], affine: NDArray[np.float64]) -> Iterator[Seed]:
    whole = _placed(nib.Nifti1Image(volume.astype(np.int16), affine))
    real = _placed(nib.Nifti1Image(volume.astype(np.float32) / 3, affine))
    many = _placed(nib.Nifti1Image(np.stack([volume, volume[::-1]], -1).astype(np.uint16), affine))
    scaled = _placed(nib.Nifti1Image(volume.astype(np.int16), affine))
    scaled.header.set_slope_inter(0.5, -10)
    second = _placed(Nifti2Image(volume.astype(np.int16), affine))
    for kind, image in (("int16", whole), ("float32", real), ("4D", many), ("scaled", scaled), ("NIfTI-2", second)):
        raw = image.to_bytes()
        packed = gzip.compress(raw, 1, mtime=0)
        yield Seed(f"{name} {kind}", {".nii": raw}, ".nii", NIFTI, "nifti")
        yield Seed(f"{name} {kind} packed", {".nii.gz": packed}, ".nii.gz", PACKED, "nifti")
    for kind, image in (("pair", _placed(nib.Nifti1Pair(volume.astype(np.int16), affine))),
                        ("Analyze", AnalyzeImage(volume.astype(np.int16), affine))):  # fmt: skip
        files = _pair(image)
        for changed in files:
            yield Seed(f"{name} {kind}, {changed} changed", files, changed, NIFTI, "nifti")


def _placed(image: nib.Nifti1Image) -> nib.Nifti1Image:
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    return image


def _pair(image: AnalyzeImage) -> dict[str, bytes]:
    there = {"header": io.BytesIO(), "image": io.BytesIO()}
    image.file_map = {name: nib.FileHolder(fileobj=file) for name, file in there.items()}
    image.to_file_map()
    return {".hdr": there["header"].getvalue(), ".img": there["image"].getvalue()}
