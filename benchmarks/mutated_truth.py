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
"""Part of the voxels by which a constant end may be longer than in the whole file and in the changed file's bytes."""
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


class Stated(NamedTuple):
    """Voxels that the header states, voxels that the bytes hold, and how many at their end are one value."""

    voxels: int
    there: float
    end: int


def stated(path: Path, kind: str, whole: NDArray[Any] | None) -> Stated | None:
    """None where the header is not understood here."""
    try:
        with np.errstate(all="ignore"):
            return _of_dicom(path, whole) if kind == "dicom" else _of_nifti(path)
    except Exception:
        return None


def _of_dicom(path: Path, whole: NDArray[Any] | None) -> Stated | None:
    with quiet():
        dataset = pydicom.dcmread(path, force=True)
        voxels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return Stated(voxels, math.inf, 0)
        size = int(dataset.BitsAllocated) // 8
        there = len(dataset.PixelData) // size
        values = np.frombuffer(dataset.PixelData[: voxels * size], f"<u{size}")
        if whole is not None and "MOSAIC" in str(dataset.get("ImageType")):
            voxels = min(voxels, whole.size)  # its last tiles are empty
    return Stated(voxels, there, constant_end(values))


def _of_nifti(path: Path) -> Stated:
    raw = path.read_bytes()
    if path.name.endswith(".gz"):
        try:
            raw = gzip.decompress(raw)
        except Exception:  # cut short, or not what its checksum says
            return Stated(1, 0, 0)
    second = 540 in (int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big"))
    layout = ("8q", 16, "h", 12, "q", 168, "2d", 176) if second else ("8h", 40, "h", 70, "f", 108, "2f", 112)
    order = "<" if 0 <= struct.unpack_from("<q" if second else "<h", raw, layout[1])[0] <= 7 else ">"
    dims, (code,), (start,), (slope, inter) = (
        struct.unpack_from(order + layout[k], raw, layout[k + 1]) for k in (0, 2, 4, 6)
    )
    body = raw if path.name.endswith((".nii", ".gz")) else path.with_suffix(".img").read_bytes()
    kind = np.dtype(order + _TYPES[code])
    body = body[int(start) :]
    voxels = math.prod(dims[1 : 1 + dims[0]])
    there = len(body) // kind.itemsize
    values = np.frombuffer(body, kind, min(voxels, there)).astype(np.float64)
    scaled = math.isfinite(slope) and slope != 0
    return Stated(voxels, there, constant_end((values * slope + inter if scaled else values).astype(np.float32)))


def same_as_whole(array: NDArray[Any], whole: NDArray[Any] | None, end: int) -> tuple[str, str]:
    """("same" or "changed", "") or ("truncated", by how much): a constant end that the bytes do not have."""
    if whole is not None and np.array_equal(array, whole):
        return "same", ""
    if whole is None or array.shape != whole.shape:
        return "changed", ""
    longer = constant_end(array) - max(constant_end(whole), end)
    if longer > _TAIL * whole.size + 1:
        return "truncated", f"the last {longer} of {whole.size} voxels are one value"
    return "changed", ""


def constant_end(array: NDArray[Any]) -> int:
    """How many voxels at the end, as they lie in the file, are one value."""
    flat = array.T.reshape(-1)
    other = np.flatnonzero(flat != flat[-1])
    return int(flat.size - 1 - other[-1]) if other.size else int(flat.size)
