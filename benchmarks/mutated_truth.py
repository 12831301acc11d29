"""What a mutated file states of itself and holds, read without medsynth; and whether voxels were lost."""

import gzip
import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from medsynth.data.dicom_file import quiet

_TAIL = 0.02
"""Part of the voxels by which a constant end may be longer than in the whole file."""


class Stated(NamedTuple):
    """Voxels that the header states, and voxels that its bytes hold."""

    voxels: int
    there: float


def stated(path: Path, kind: str, whole: NDArray[Any] | None) -> Stated | None:
    """None where the header is not read here either."""
    try:
        return _of_dicom(path, whole) if kind == "dicom" else _of_nifti(path)
    except Exception:
        return None


def _of_dicom(path: Path, whole: NDArray[Any] | None) -> Stated | None:
    with quiet():
        dataset = pydicom.dcmread(path, force=True)
        size = int(dataset.Rows) * int(dataset.Columns)
        voxels = size * int(dataset.get("NumberOfFrames") or 1)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return Stated(voxels, math.inf)
        there = len(dataset.PixelData) * 8 // int(dataset.BitsAllocated)
    if whole is not None and "MOSAIC" in str(dataset.get("ImageType")):
        return Stated(min(voxels, whole.size), there)  # its last tiles are empty
    return Stated(voxels, there)


def _of_nifti(path: Path) -> Stated:
    raw = path.read_bytes()
    if path.name.endswith(".gz"):
        try:
            raw = gzip.decompress(raw)
        except Exception:  # cut short, or not what its checksum says
            return Stated(1, 0)
    order = "<" if int.from_bytes(raw[:4], "little") in (348, 540) else ">"
    if struct.unpack(f"{order}i", raw[:4])[0] == 540:
        dims, bits = struct.unpack_from(f"{order}8q", raw, 16), struct.unpack_from(f"{order}h", raw, 12)[0]
        start = struct.unpack_from(f"{order}q", raw, 168)[0]
    else:
        dims, bits = struct.unpack_from(f"{order}8h", raw, 40), struct.unpack_from(f"{order}h", raw, 70)[0]
        start = struct.unpack_from(f"{order}f", raw, 108)[0]
    size = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}[bits]
    held = (
        len(raw) - start if path.name.endswith((".nii", ".gz")) else len(path.with_suffix(".img").read_bytes()) - start
    )
    voxels = math.prod(dims[1 : 1 + dims[0]])
    return Stated(voxels, held // size)


def same_as_whole(array: NDArray[Any], whole: NDArray[Any] | None) -> tuple[str, str]:
    """("same" or "changed", "") or ("truncated", by how much): a constant end that the whole file does not have."""
    if whole is None or array.shape != whole.shape:
        return "changed", ""
    if np.array_equal(array, whole):
        return "same", ""
    longer = _constant_end(array) - _constant_end(whole)
    if longer > _TAIL * whole.size + 1:
        return "truncated", f"the last {longer} of {whole.size} voxels are one value"
    return "changed", ""


def _constant_end(array: NDArray[Any]) -> int:
    flat = array.T.reshape(-1)
    other = np.flatnonzero(flat != flat[-1])
    return int(flat.size - 1 - other[-1]) if other.size else int(flat.size)
