"""Read one series of classic single-frame DICOM: voxels in units, place from positions alone."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import DicomPlane, Geometry, stack_slices

VOLUME_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
}
"""SOP classes (PS3.4 B.5) whose files are the slices of a volume."""
PLANE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",
}
"""SOP classes whose files are images by themselves."""
_PT_UNITS = {"BQML": "Bq/ml", "GML": "SUV"}  # PS3.3 C.8.9.1.1.3; others are arbitrary
_MOSAICS = {"MOSAIC", "VFRAME"}  # Siemens and United Imaging: many slices tiled in one frame


class DicomImage(NamedTuple):
    """A series or radiograph: `array.shape == geometry.shape`, values in `units`."""

    array: NDArray[Any]
    geometry: Geometry
    units: str
    modality: str


def read_dicom(paths: Sequence[Path]) -> DicomImage:
    """Read the files of one series as a volume, or one radiograph as an image.

    The array is indexed (column, row, slice) or (column, row); slices are ordered by
    position. The rescale of each slice is applied: CT in HU, PT in its units, MR
    arbitrary. MONOCHROME1 radiographs are turned so that larger is brighter. Whole
    numbers stay integers (int16, uint16 or int32), others are float32.

    Args:
        paths: the files of one series, in any order.

    Raises:
        UnreadableError: cut short, a kind of DICOM that is not understood, no decoder.
        GeometryError: as `medsynth.geometry.stack_slices`; two slices without word of
            their distance; no position.
    """
    try:
        with quiet():
            return _read_series(paths)
    except (UnreadableError, GeometryError, MemoryError):
        raise
    except Exception:  # values are parsed when first asked for, and broken ones fail in any way
        raise UnreadableError("the header holds values that are not understood; export the series again") from None


def _read_series(paths: Sequence[Path]) -> DicomImage:
    if not paths:
        raise UnreadableError("no DICOM files there; name the folder that holds the series")
    headers = [read_header(path) for path in paths]
    kinds = {_require_understood(header) for header in headers}
    if len(kinds) > 1:
        raise UnreadableError("files of several modalities in one series; split the series")
    modality, planar = kinds.pop()
    if planar:
        if len(paths) > 1:
            raise UnreadableError("several radiographs are no volume; give each as a case of its own")
        array = _values(paths[0], modality)
        return DicomImage(_compact(array.T), _radiograph_geometry(headers[0]), "arbitrary", modality)
    stack = stack_slices([_plane(header) for header in headers], single_slice_mm=_stated_spacing(headers[0]) or 1.0)
    _require_known_gap(headers, stack.geometry)
    units = _units(headers, modality)
    array = np.stack([_compact(_values(paths[index], modality).T) for index in stack.order], axis=-1)
    return DicomImage(_compact(array), stack.geometry, units, modality)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from printing: its warnings quote values of the file. Not for threads."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def read_header(path: Path, tags: Sequence[str] | None = None) -> Dataset:
    """The header of a DICOM file, without its pixels; call inside `quiet`.

    Raises:
        UnreadableError: no DICOM, cut short, or deflated (such a file can be a
            decompression bomb: half a megabyte that opens to a gigabyte).
    """
    return _parse(path, stop_before_pixels=True, specific_tags=list(tags) if tags else None)


def _parse(path: Path, **options: Any) -> Dataset:
    try:
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise UnreadableError("the file is deflated; save it again without deflation")
        return pydicom.dcmread(path, **options)
    except UnreadableError:
        raise
    except Exception:  # a parser fed with any bytes fails in any way
        raise UnreadableError("the file is cut short or is no DICOM; export it again") from None


def _require_understood(header: Dataset) -> tuple[str, bool]:
    """Modality, and whether each file is an image by itself; everything else is refused by name."""
    uid = UID(str(header.get("SOPClassUID", "")))
    name = uid.name if uid.name != uid else "an unknown SOP class"  # the name of an unknown UID is itself
    if "Rows" not in header or "Columns" not in header:
        raise UnreadableError(f"{name} holds no image; exclude the series")
    frames = int(_number(header, "NumberOfFrames") or 1)
    if frames > 1 or "Enhanced" in name or "Multi-frame" in name:
        raise UnreadableError(f"{name}: a multi-frame object is not read yet; convert it to classic single-frame files")
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise UnreadableError(f"{name} in colour; one grey value a pixel is needed, exclude the series")
    photometric = str(header.get("PhotometricInterpretation", ""))
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnreadableError(f"{name} is not monochrome; one grey value a pixel is needed, exclude the series")
    if _MOSAICS & {str(part).upper() for part in _several(header, "ImageType")}:
        raise UnreadableError("a mosaic (many slices in one frame) is not read yet; convert it to single slices")
    if uid not in VOLUME_CLASSES and uid not in PLANE_CLASSES:
        raise UnreadableError(f"{name} is not read yet; only CT, MR, PT, CR and DX images are; exclude the series")
    if "ModalityLUTSequence" in header:
        raise UnreadableError("values go through a Modality LUT, which is not read yet; export with a rescale")
    modality = VOLUME_CLASSES.get(uid) or PLANE_CLASSES[uid]
    if photometric == "MONOCHROME1" and uid in VOLUME_CLASSES:
        raise UnreadableError(f"a {modality} volume in MONOCHROME1; export it as MONOCHROME2")
    return modality, uid in PLANE_CLASSES


def _plane(header: Dataset) -> DicomPlane:
    numbers = {}
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        numbers[keyword] = _numbers(header, keyword)
        if not numbers[keyword]:
            raise GeometryError(f"a slice has no {keyword}, so its place is unknown; re-export the series")
    return DicomPlane(
        orientation=numbers["ImageOrientationPatient"],
        position=numbers["ImagePositionPatient"],
        pixel_spacing=numbers["PixelSpacing"],  # type: ignore[arg-type]  # DicomPlane checks the length
        rows=int(header.Rows),
        columns=int(header.Columns),
    )


def _stated_spacing(header: Dataset) -> float | None:
    """What the header says of the distance between slices, in mm."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        stated = abs(_number(header, keyword) or 0.0)
        if np.isfinite(stated) and stated > 0:
            return stated
    return None


def _require_known_gap(headers: Sequence[Dataset], geometry: Geometry) -> None:
    """One gap has no other to be compared with: the header must vouch for it."""
    if len(headers) != 2:
        return
    gap, stated = geometry.spacing[2], _stated_spacing(headers[0])
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


def _radiograph_geometry(header: Dataset) -> Geometry:
    spacing = _numbers(header, "PixelSpacing") or _numbers(header, "ImagerPixelSpacing") or (1.0, 1.0)
    if len(spacing) != 2 or not np.isfinite(spacing).all() or min(spacing) <= 0:
        raise GeometryError("the radiograph's pixel spacing is not two positive numbers; re-export it")
    return Geometry.image_plane((int(header.Columns), int(header.Rows)), (spacing[1], spacing[0]))


def _units(headers: Sequence[Dataset], modality: str) -> str:
    if modality == "CT":
        types = {str(header.get("RescaleType") or "HU").upper() for header in headers}
        return "HU" if types == {"HU"} else "arbitrary"
    if modality == "PT":
        units = {str(header.get("Units") or "") for header in headers}
        if len(units) > 1:
            raise UnreadableError("slices in different PET units in one series; split the series")
        return _PT_UNITS.get(units.pop(), "arbitrary")
    return "arbitrary"


def _values(path: Path, modality: str) -> NDArray[Any]:
    """(row, column), float64 in units, or the stored integers where there is no rescale."""
    dataset = _parse(path)
    stored = _pixels(dataset)
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1":
        top = -1 if int(dataset.PixelRepresentation) else 2 ** int(dataset.BitsStored) - 1
        stored = top - stored.astype(np.int64)
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    if slope is None or intercept is None:
        if modality in ("CT", "PT"):
            raise UnreadableError(f"{modality} without a rescale: its values have no unit; re-export the series")
        return stored
    if not np.isfinite((slope, intercept)).all() or slope == 0:
        raise UnreadableError("the rescale is zero or not finite; re-export the series")
    return stored if (slope, intercept) == (1, 0) else stored * slope + intercept


def _pixels(dataset: Dataset) -> NDArray[Any]:
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    if syntax.is_encapsulated:
        try:
            fit = get_decoder(syntax).is_available
        except NotImplementedError:
            raise UnreadableError("a compression that is not known; export the series uncompressed") from None
        if not fit:
            raise UnreadableError(
                f"no decoder for {syntax.name}; pip install '.[codecs]' in the folder of medsynth's source"
            )
    try:
        pixels: NDArray[Any] = dataset.pixel_array
    except Exception:  # decoders fed with any bytes fail in any way
        raise UnreadableError("the pixels are missing, cut short or broken; export the series again") from None
    if pixels.shape != (int(dataset.Rows), int(dataset.Columns)):
        raise UnreadableError("the pixels are not those of one frame; export the series again")
    if not np.isfinite(pixels).all():
        raise UnreadableError("voxels are NaN or infinite; replace them at the source or exclude the case")
    return pixels


def _compact(array: NDArray[Any]) -> NDArray[Any]:
    """The smallest of int16, uint16, int32 that holds every value exactly, else float32."""
    if np.issubdtype(array.dtype, np.floating) and (array != np.rint(array)).any():
        return array.astype(np.float32)
    low, high = array.min(), array.max()
    for kind in (np.int16, np.uint16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.ascontiguousarray(array, dtype=kind)
    return array.astype(np.float32)


def _several(header: Dataset, keyword: str) -> list[Any]:
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | int | float) else list(value)


def _numbers(header: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of a tag as floats; empty when missing or no numbers."""
    try:
        return tuple(float(value) for value in _several(header, keyword))
    except (TypeError, ValueError):
        return ()


def _number(header: Dataset, keyword: str) -> float | None:
    numbers = _numbers(header, keyword)
    return numbers[0] if len(numbers) == 1 else None
