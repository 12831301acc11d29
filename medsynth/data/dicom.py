"""Read one volume of a DICOM series, or one radiograph: voxels in units, place from positions alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medsynth.data.dicom_file import number, numbers, quiet, read_file
from medsynth.data.dicom_pixels import compact, fill_padding, in_units, padded, stored_frames
from medsynth.data.dicom_slices import Slice, slices_of
from medsynth.data.dicom_volumes import Volume, split_volumes
from medsynth.data.tilt import straightened
from medsynth.errors import GeometryError, NoGreyImageError, UnreadableError
from medsynth.geometry import Geometry, stack_slices

VOLUME_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",  # enhanced
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",  # legacy converted enhanced
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",
    "1.2.840.10008.5.1.4.1.1.130": "PT",
}
"""SOP classes (PS3.4 B.5) whose files hold the slices of a volume."""
PLANE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.2": "MG",
    "1.2.840.10008.5.1.4.1.1.1.2.1": "MG",
    "1.2.840.10008.5.1.4.1.1.6.1": "US",
}
"""SOP classes whose files are images by themselves."""
_PT_UNITS = {"BQML": "Bq/ml", "BQ/ML": "Bq/ml", "GML": "SUV", "G/ML{SUVBW}": "SUV", "{SUVBW}G/ML": "SUV"}
"""PS3.3 C.8.9.1.1.3 and their UCUM codes (PS3.16 CID 84, 85); others are arbitrary."""


class DicomImage(NamedTuple):
    """A volume or radiograph: `array.shape == geometry.shape`, values in `units`."""

    array: NDArray[Any]
    geometry: Geometry
    units: str
    modality: str


def read_dicom(paths: Sequence[Path], volume: str | None = None, *, tilt: str = "refuse") -> DicomImage:
    """Read the files of one series as a volume, or one radiograph as an image.

    The array is indexed (column, row, slice) or (column, row); slices are ordered by
    position. The rescale of each slice is applied: CT in HU, PT in its units, MR
    arbitrary. MONOCHROME1 radiographs are turned so that larger is brighter. Whole
    numbers stay integers (int16, uint16 or int32), others are float32. Padding becomes the lowest value of the image.

    Args:
        paths: the files of one series, in any order.
        volume: which of its volumes, by the name that `split_volumes` gives it; None where there is one.
        tilt: of a gantry: "refuse", or "resample" onto a straight grid.

    Raises:
        UnreadableError: cut short, a kind of DICOM that is not understood, no decoder, several volumes.
        GeometryError: as `medsynth.geometry.stack_slices`; two slices without word of
            their distance; no position.
    """
    try:
        with quiet():
            return _read_series(paths, volume, tilted=tilt == "resample")
    except (UnreadableError, GeometryError, MemoryError):
        raise
    except Exception:  # values are parsed when first asked for, and broken ones fail in any way
        raise UnreadableError("the header holds values that are not understood; export the series again") from None


def _read_series(paths: Sequence[Path], volume: str | None, *, tilted: bool) -> DicomImage:
    if not paths:
        raise UnreadableError("no DICOM files there; name the folder that holds the series")
    files = {path: read_file(path) for path in paths}  # parsed once: that takes longer than to read the pixels
    kinds = {require_understood(header) for header in files.values()}
    if len(kinds) > 1:
        raise UnreadableError("files of several modalities in one series; split the series")
    modality, planar = kinds.pop()
    if planar:
        if len(paths) > 1:
            raise UnreadableError("several radiographs are no volume; give each as a case of its own")
        return _radiograph(files[paths[0]], modality)
    chosen = _chosen(split_volumes([part for path in paths for part in slices_of(path, files[path])]), volume)
    stack = stack_slices([part.plane for part in chosen], single_slice_mm=chosen[0].stated or 1.0, tilted=tilted)
    _require_known_gap(chosen, stack.geometry)
    units = _units(chosen, modality)
    values, padding = _values(chosen, files, modality)
    slices = compact(np.stack([values[index] for index in stack.order]))
    if any(mask is not None for mask in padding):
        fill_padding(slices, [padding[index] for index in stack.order])
    array = slices.T
    geometry = stack.geometry
    if any(stack.drift):
        array, geometry = straightened(array, stack)
    return DicomImage(array, geometry, units, modality)


class Held(NamedTuple):
    """What a file adds to its series: slices, none where it is an image by itself or is not understood.

    `passed` says why the file is none for us, "" otherwise.
    """

    slices: tuple[Slice, ...]
    passed: str


def held_by(path: Path, header: Dataset) -> Held:
    """What a file holds, from its header without the pixels; call inside `quiet`."""
    try:
        planar = require_understood(header)[1]
        return Held(() if planar else tuple(slices_of(path, header)), "")
    except NoGreyImageError as error:
        reason = str(error).partition("; ")[0]
        return Held((), reason.partition(" Storage ")[2] or reason)  # the kind is said beside it
    except (UnreadableError, GeometryError):
        return Held((), "")  # reading the case says why


def _chosen(volumes: Sequence[Volume], name: str | None) -> Sequence[Slice]:
    if name is None and len(volumes) > 1:
        raise UnreadableError(
            f"{len(volumes)} volumes in one series, told apart by {' and '.join(volumes[0].marks)}; say which one, or "
            "split the series"  # what they are called may be anybody's words
        )
    for volume in volumes:
        if name is None or volume.name == name:
            return volume.slices
    raise UnreadableError("the series no longer has the volume that was found in it; ingest it again")


def _values(
    slices: Sequence[Slice], files: dict[Path, Dataset], modality: str
) -> tuple[list[NDArray[Any]], list[NDArray[np.bool_] | None]]:
    """(row, column) of each slice, in units, and its padding; a file leaves `files` once it is decoded."""
    found: dict[int, tuple[NDArray[Any], NDArray[np.bool_] | None]] = {}
    for path in dict.fromkeys(part.path for part in slices):
        here = [index for index, part in enumerate(slices) if part.path == path]
        dataset = files.pop(path)
        frames = stored_frames(dataset, [slices[index].frame for index in here])
        for index, frame in zip(here, frames, strict=True):
            part = slices[index]
            if part.tile is not None:
                (row, column), plane = part.tile, part.plane
                frame = frame[row : row + plane.rows, column : column + plane.columns]
            values = in_units(frame, part.rescale, modality if modality in ("CT", "PT") else None)
            whole = values.dtype.kind in "iu" and values.itemsize <= 2
            found[index] = values if whole else compact(values), padded(frame, dataset)
    inorder = [found[index] for index in range(len(slices))]
    return [values for values, _ in inorder], [mask for _, mask in inorder]


def require_understood(header: Dataset) -> tuple[str, bool]:
    """Modality, and whether each file is an image by itself; call inside `quiet`.

    Raises:
        NoGreyImageError: a kind that is not read, by name.
        UnreadableError: one that is, with values that are not understood.
    """
    uid = UID(str(header.get("SOPClassUID", "")))
    if uid.name == uid:  # the name of an unknown UID is itself; a file cut short has none
        raise UnreadableError("an unknown SOP class is not read; exclude the series")
    name = uid.name
    if uid in {*VOLUME_CLASSES, *PLANE_CLASSES} and ("Rows" not in header or "Columns" not in header):
        raise UnreadableError(f"{name} without its size: the file is cut short; export it again")
    if "Rows" not in header or "Columns" not in header:
        raise NoGreyImageError(f"{name} holds no image; exclude the series")
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise NoGreyImageError(f"{name} in colour; one grey value a pixel is needed, exclude the series")
    photometric = str(header.get("PhotometricInterpretation", ""))
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise NoGreyImageError(f"{name} is not monochrome; one grey value a pixel is needed, exclude the series")
    if uid not in VOLUME_CLASSES and uid not in PLANE_CLASSES:
        read = ", ".join(dict.fromkeys([*VOLUME_CLASSES.values(), *PLANE_CLASSES.values()]))
        raise NoGreyImageError(f"{name} is not read yet; only {read} images are; exclude the series")
    if uid in PLANE_CLASSES and int(number(header, "NumberOfFrames") or 1) > 1:
        raise NoGreyImageError(f"{name} of several frames (a film) is not read yet; exclude the series")
    if "ModalityLUTSequence" in header:
        raise UnreadableError("values go through a Modality LUT, which is not read yet; export with a rescale")
    modality = VOLUME_CLASSES.get(uid) or PLANE_CLASSES[uid]
    if photometric == "MONOCHROME1" and uid in VOLUME_CLASSES:
        raise UnreadableError(f"a {modality} volume in MONOCHROME1; export it as MONOCHROME2")
    return modality, uid in PLANE_CLASSES


def _require_known_gap(slices: Sequence[Slice], geometry: Geometry) -> None:
    """One gap has no other to be compared with: the header must vouch for it."""
    if len(slices) != 2:
        return
    gap, stated = geometry.spacing[2], slices[0].stated
    if stated is None:
        raise GeometryError(
            f"missing slices cannot be ruled out: two slices alone, {gap:.2f} mm apart, and no word of their "
            "distance; re-export the whole series or exclude the case"
        )
    if gap > 1.5 * stated:
        raise GeometryError(
            f"missing slices: two slices alone, gap {gap:.2f} mm, expected {stated:.2f}; "
            "re-export the series or exclude the case"
        )


def _radiograph(dataset: Dataset, modality: str) -> DicomImage:
    (stored,) = stored_frames(dataset, [None])
    padding = padded(stored, dataset)
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1":
        top = -1 if int(dataset.PixelRepresentation) else 2 ** int(dataset.BitsStored) - 1
        stored = top - stored.astype(np.int64)
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    rescale = None if slope is None or intercept is None else (slope, intercept)
    array = np.array(compact(in_units(stored, rescale)))  # a native frame is a view of the file's bytes
    if padding is not None:
        fill_padding(array[None], [padding])
    return DicomImage(compact(array.T), _radiograph_geometry(dataset), "arbitrary", modality)


def _radiograph_geometry(header: Dataset) -> Geometry:
    spacing = numbers(header, "PixelSpacing") or numbers(header, "ImagerPixelSpacing") or (1.0, 1.0)
    if len(spacing) != 2 or not np.isfinite(spacing).all() or min(spacing) <= 0:
        raise GeometryError("the radiograph's pixel spacing is not two positive numbers; re-export it")
    return Geometry.image_plane((int(header.Columns), int(header.Rows)), (spacing[1], spacing[0]))


def _units(slices: Sequence[Slice], modality: str) -> str:
    said = {part.unit for part in slices}
    if modality == "CT":
        return "HU" if {unit or "HU" for unit in said} == {"HU"} else "arbitrary"
    if modality == "PT":
        if len(said) > 1:
            raise UnreadableError("slices in different PET units in one series; split the series")
        return _PT_UNITS.get(said.pop(), "arbitrary")
    return "arbitrary"
