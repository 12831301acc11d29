"""Read and write NIfTI: geometry in RAS, nothing of the source's header carried along."""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medsynth.errors import GeometryError, UnreadableError
from medsynth.files import write_bytes
from medsynth.geometry import Geometry


class Volume(NamedTuple):
    """An array indexed like its geometry: `array.shape == geometry.shape`."""

    array: NDArray[Any]
    geometry: Geometry


def read_nifti(path: Path) -> Volume:
    """Read one NIfTI file whole, in its stored type (scaled where the header says so).

    A 4D file with one time point is a volume; a trailing axis of one voxel stays.

    Raises:
        UnreadableError: cut short, not NIfTI, several time points, NaN or infinite voxels.
        GeometryError: neither sform nor qform says where it lies, or the affine is singular.
    """
    try:
        image = nib.nifti1.load(path) if path.name.endswith((".nii", ".nii.gz")) else nib.load(path)  # type: ignore[attr-defined]
        array = np.asanyarray(image.dataobj)
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile):
        raise UnreadableError("the file is cut short or is no NIfTI; copy it again from its source") from None
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3):
        raise UnreadableError(f"an array of {array.ndim} dimensions is not a volume; split it into volumes of 3")
    if array.dtype.names is not None or np.iscomplexobj(array):
        raise UnreadableError("voxels are colours or complex numbers; one grey value a voxel is needed")
    if not np.isfinite(array).all():
        raise UnreadableError("voxels are NaN or infinite; replace them at the source or exclude the case")
    header = image.header
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0 and array.ndim == 3:
        raise GeometryError("neither sform nor qform says how the volume lies in the patient; set one and ingest again")
    return Volume(array, Geometry(array.shape, image.affine))


def write_nifti(path: Path, array: NDArray[Any], geometry: Geometry) -> None:
    """Write `array` with sform and qform of `geometry`, whole or not at all.

    The same array and geometry give the same bytes. float64 is stored as float32,
    bool as uint8; other types as they are. The header holds nothing else.

    Raises:
        GeometryError: the array's shape is not the geometry's.
    """
    if tuple(array.shape) != geometry.shape:
        raise GeometryError(f"an array of shape {tuple(array.shape)} does not fit the geometry's {geometry.shape}")
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8)
    elif array.dtype == np.int64:
        array = array.astype(np.int32)
    image = nib.nifti1.Nifti1Image(np.ascontiguousarray(array), geometry.affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(geometry.affine, code=1)
    image.set_qform(geometry.affine, code=1, strip_shears=True)
    raw = image.to_bytes()
    if path.name.endswith(".gz"):
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
            packed.write(raw)
        raw = buffer.getvalue()
    write_bytes(path, raw)
