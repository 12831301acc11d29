"""Read and write NIfTI: geometry in RAS, nothing of the source's header carried along."""

import gzip
import io
import logging
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from nibabel import imageglobals
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from medsynth.errors import GeometryError, UnreadableError
from medsynth.files import write_bytes
from medsynth.geometry import Geometry

_CHUNK_BYTES = 2**20
_STORED = {
    np.dtype(kind): stored for kind, stored in ((np.float64, np.float32), (bool, np.uint8), (np.int64, np.int32))
}


class Volume(NamedTuple):
    """An array indexed like its geometry: `array.shape == geometry.shape`."""

    array: NDArray[Any]
    geometry: Geometry


class Stored(NamedTuple):
    """What a file holds before its header scales it: a value is array * slope + intercept.

    `array` has the file's type in this machine's byte order; `array.shape == geometry.shape`.
    """

    array: NDArray[Any]
    slope: float
    intercept: float
    geometry: Geometry

    def from_units(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Values as this file would hold them, not yet rounded to its type."""
        scaled: NDArray[np.float64] = (np.asarray(values, dtype=np.float64) - self.intercept) / self.slope
        return scaled


def read_nifti(path: Path) -> Volume:
    """Read one NIfTI file whole, in its stored type (scaled where the header says so).

    A 4D file with one time point is a volume; a trailing axis of one voxel stays.

    Raises:
        UnreadableError: cut short, not NIfTI, several time points, NaN or infinite voxels.
        GeometryError: neither sform nor qform says where it lies, the affine is singular,
            or lengths are not in mm.
    """
    image, geometry_of = _read_whole(path)
    array = _squeezed(image.array)
    return Volume(array, geometry_of(array.shape))


def read_stored(path: Path) -> Stored:
    """Read one NIfTI file whole as the bits that it stores, with its scl_slope and scl_inter beside them.

    `write_stored` gives the same stored values back; where the header scales, `read_nifti` does not.

    Raises:
        UnreadableError, GeometryError: as `read_nifti`.
    """
    image, geometry_of = _read_whole(path, scaled=False)
    array = _squeezed(image.array)
    return Stored(array.astype(array.dtype.newbyteorder("=")), image.slope, image.intercept, geometry_of(array.shape))


def _squeezed(array: NDArray[Any]) -> NDArray[Any]:
    """One time point is a volume; a trailing axis of one voxel stays."""
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3):
        raise UnreadableError(f"an array of {array.ndim} dimensions is not a volume; split it into volumes of 3")
    return array


def read_nifti_channels(path: Path) -> list[Volume]:
    """Read a 4D NIfTI file (I, J, K, channel) as one volume a channel; a 3D file has one.

    Raises:
        UnreadableError, GeometryError: as `read_nifti`.
    """
    (array, *_), geometry_of = _read_whole(path)
    if array.ndim != 4:
        return [Volume(array, geometry_of(array.shape))]
    return [Volume(array[..., index], geometry_of(array.shape[:3])) for index in range(array.shape[3])]


class _Voxels(NamedTuple):
    array: NDArray[Any]
    slope: float
    intercept: float


def _read_whole(path: Path, *, scaled: bool = True) -> tuple[_Voxels, Callable[[tuple[int, ...]], Geometry]]:
    """The checked array, scaled by the header or as stored, and what gives its (first) axes their place."""
    imageglobals.logger.setLevel(logging.CRITICAL)  # it prints header values of what it refuses
    try:
        if path.name.lower().endswith(".gz"):
            image, array = _unpack(path, scaled)
        else:
            image = nib.load(path)
            array = _voxels(image, scaled)
        header, affine = image.header, image.affine
    except (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError, zlib.error):
        raise UnreadableError(
            "the file is damaged or cut short, or is no NIfTI; copy it again from its source"
        ) from None
    if not isinstance(header, nib.nifti1.Nifti1Header):  # NIfTI-2 is a kind of it
        raise UnreadableError("the file is no NIfTI; convert it")
    if array.dtype.names is not None or np.iscomplexobj(array):
        raise UnreadableError("voxels are colours or complex numbers; one grey value a voxel is needed")
    if not np.isfinite(array).all():
        raise UnreadableError("voxels are NaN or infinite; replace them at the source or exclude the case")
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0 and array.ndim > 2:
        raise GeometryError("neither sform nor qform says how the volume lies in the patient; set one and ingest again")
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        raise GeometryError("the header names units that NIfTI does not know; write the header anew") from None
    if unit not in ("mm", "unknown"):
        raise GeometryError(f"the header gives lengths in {unit}, not mm; write the header anew")
    voxels = _Voxels(array, float(image.dataobj.slope), float(image.dataobj.inter))
    return voxels, lambda shape: Geometry(shape, affine)


def _voxels(image: Any, scaled: bool) -> NDArray[Any]:
    array: NDArray[Any] = np.asanyarray(image.dataobj if scaled else image.dataobj.get_unscaled())
    return array


def _unpack(path: Path, scaled: bool) -> tuple[Any, NDArray[Any]]:
    """Image and voxels of a packed file, read to its end: its checksum and length stand behind the last voxel."""
    with gzip.open(path) as stream:
        size = stream.peek(4)[:4]  # of the header: 348 bytes in NIfTI-1, 540 in NIfTI-2
        second = 540 in (int.from_bytes(size, "little"), int.from_bytes(size, "big"))
        image = (nib.nifti2.Nifti2Image if second else nib.nifti1.Nifti1Image).from_stream(stream)
        array = _voxels(image, scaled)
        while stream.read(_CHUNK_BYTES):
            pass
    return image, array


def place_in_itk(path: Path) -> Geometry:
    """Where SimpleITK, and with it the viewers built on ITK, put a NIfTI file.

    Raises:
        UnreadableError: it does not open there.
    """
    import SimpleITK as sitk  # here alone: the processes of an ingest start without it

    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        raise UnreadableError("the file does not open in SimpleITK; make it again") from None
    size, rank = image.GetSize(), image.GetDimension()
    origin, spacing, direction = np.zeros(3), np.ones(3), np.eye(3)
    origin[:rank], spacing[:rank] = image.GetOrigin(), image.GetSpacing()
    direction[:rank, :rank] = np.array(image.GetDirection()).reshape(rank, rank)
    return Geometry.from_lps(size, origin, spacing, direction)


def write_nifti(path: Path, array: NDArray[Any], geometry: Geometry, description: str = "") -> None:
    """Write `array` with sform and qform of `geometry`, whole or not at all.

    The same array and geometry give the same bytes. float64 is stored as float32,
    bool as uint8; other types as they are. The header holds nothing else but
    `description`, up to 79 ASCII characters.

    Raises:
        GeometryError: the array's shape is not the geometry's.
    """
    if tuple(array.shape) != geometry.shape:
        raise GeometryError(f"an array of shape {tuple(array.shape)} does not fit the geometry's {geometry.shape}")
    write_stored(path, Stored(array.astype(_STORED.get(array.dtype, array.dtype)), 1.0, 0.0, geometry), description)


def write_stored(path: Path, stored: Stored, description: str = "") -> None:
    """Write what `read_stored` read: each stored value the same bits, in the same type, whatever it is.

    Slope, intercept and affine are rounded to the float32 that NIfTI-1 holds: they come back as they were from
    a NIfTI-1 file that has an sform. Without scaling the header's slope is left open (NaN), which says so.

    Raises:
        GeometryError: the array's shape is not the geometry's.
    """
    array, slope, intercept, geometry = stored
    if tuple(array.shape) != geometry.shape:
        raise GeometryError(f"an array of shape {tuple(array.shape)} does not fit the geometry's {geometry.shape}")
    _write(path, array, (slope, intercept), geometry, description)


def write_nifti_channels(path: Path, arrays: Sequence[NDArray[Any]], geometry: Geometry, description: str = "") -> None:
    """Write one 4D file (I, J, K, channel) of several channels on one grid, as `write_nifti` writes one.

    They get the type that holds them all; a plane has K = 1. `read_nifti_channels` gives the channels back.

    Raises:
        GeometryError: a channel's shape is not the geometry's.
    """
    geometry = geometry.as_volume
    planes = [array[..., None] if array.ndim == 2 else array for array in arrays]
    for array in planes:
        if array.shape != geometry.shape:
            raise GeometryError(f"an array of shape {tuple(array.shape)} does not fit the geometry's {geometry.shape}")
    whole = np.stack(planes, axis=-1)
    _write(path, whole.astype(_STORED.get(whole.dtype, whole.dtype)), (1.0, 0.0), geometry, description)


def _write(path: Path, array: NDArray[Any], scaling: tuple[float, float], geometry: Geometry, description: str) -> None:
    image = nib.nifti1.Nifti1Image(np.ascontiguousarray(array), geometry.affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode("ascii")[:79]
    image.set_sform(geometry.affine, code=1)
    image.set_qform(geometry.affine, code=1, strip_shears=True)
    raw = image.to_bytes()
    if scaling != (1.0, 0.0):
        size = nib.nifti1.Nifti1Header.sizeof_hdr
        header = nib.nifti1.Nifti1Header(raw[:size])
        header["scl_slope"], header["scl_inter"] = scaling  # nibabel's own setter would scale the voxels
        raw = header.binaryblock + raw[size:]
    if path.name.endswith(".gz"):
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
            packed.write(raw)
        raw = buffer.getvalue()
    write_bytes(path, raw)
