"""Mosaics: all slices of a volume tiled in one frame, as Siemens and United Imaging write them.

Siemens tells the number of slices and their normal in its CSA header, whose binary form nibabel reads; the
Image Position is that of the whole mosaic as if it were one large slice about the same middle.
United Imaging gives each slice an item of a private sequence with a position of its own.
"""

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from medsynth.data.dicom_file import number, numbers, several
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import DicomPlane

_UIH_FRAMES = (0x0065, 0x1051)
_SIEMENS_COUNT = (0x0019, 0x100A)
_CSA_IMAGE, _CSA_SERIES = (0x0029, 0x1010), (0x0029, 0x1020)
_SLICES_IN_PROTOCOL = re.compile(r"^sSliceArray\.lSize\s*=\s*(\d+)", re.MULTILINE)


class Tile(NamedTuple):
    """A slice in a mosaic: (first row, first column), its place, and the distance to the next in mm."""

    start: tuple[int, int]
    plane: DicomPlane
    gap: float | None


def is_mosaic(header: Dataset) -> bool:
    """Whether many slices lie in the file's one frame."""
    return bool({"MOSAIC", "VFRAME"} & {str(part).upper() for part in several(header, "ImageType")})


def mosaic_tiles(header: Dataset) -> list[Tile]:
    """The slices of a mosaic, in the order of its tiles.

    Raises:
        UnreadableError: how many there are is not said, or they do not fit.
        GeometryError: where they lie is not said.
    """
    frames = header.get(_UIH_FRAMES)
    positions = None if frames is None else [numbers(item, "ImagePositionPatient") for item in frames.value]
    count = len(positions) if positions else _siemens_count(header)
    across = max(math.ceil(math.sqrt(count)), 1)
    down = across if positions is None else math.ceil(count / across)  # Siemens pads to a square
    rows, columns = int(header.Rows), int(header.Columns)
    if count < 1 or rows % down or columns % across:
        raise UnreadableError(
            f"a mosaic of {rows}x{columns} pixels does not hold {count} slices; convert it to single slices"
        )
    size = (rows // down, columns // across)
    starts = [(tile // across * size[0], tile % across * size[1]) for tile in range(count)]
    planes = _siemens_planes(header, size, count) if positions is None else _uih_planes(header, size, positions)
    return [Tile(start, plane, None) for start, plane in zip(starts, planes, strict=True)]


def _uih_planes(header: Dataset, size: tuple[int, int], positions: list[tuple[float, ...]]) -> list[DicomPlane]:
    orientation, spacing = _in_plane(header)
    return [DicomPlane(orientation, position, spacing, *size) for position in positions]


def _siemens_planes(header: Dataset, size: tuple[int, int], count: int) -> list[DicomPlane]:
    orientation, spacing = _in_plane(header)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    corner = np.array(numbers(header, "ImagePositionPatient"))
    gap = number(header, "SpacingBetweenSlices") or number(header, "SliceThickness") or 0.0
    if len(corner) != 3 or not gap > 0:
        raise GeometryError("a mosaic without position or distance of its slices; convert it to single slices")
    # The corner is that of a slice as large as the mosaic about the same middle.
    beside = (int(header.Columns) - size[1]) / 2 * spacing[1] * row
    below = (int(header.Rows) - size[0]) / 2 * spacing[0] * column
    normal = np.cross(row, column)
    stated = _siemens_normal(header)
    if stated is not None and abs(abs(stated @ normal) - 1) > 1e-3:
        raise GeometryError(
            "a mosaic whose slice normal is not that of its rows and columns; convert it to single slices"
        )
    step = gap * (normal if stated is None or stated @ normal > 0 else -normal)
    return [
        DicomPlane(orientation, tuple(float(v) for v in corner + beside + below + k * step), spacing, *size)
        for k in range(count)
    ]


def _in_plane(header: Dataset) -> tuple[tuple[float, ...], tuple[float, float]]:
    orientation, spacing = numbers(header, "ImageOrientationPatient"), numbers(header, "PixelSpacing")
    if len(orientation) != 6 or len(spacing) != 2:
        raise GeometryError(
            "a mosaic has no orientation or pixel spacing, so its place is unknown; re-export the series"
        )
    return orientation, (spacing[0], spacing[1])


def _siemens_count(header: Dataset) -> int:
    tags = _csa(header, _CSA_IMAGE)
    counted = tags.get("NumberOfImagesInMosaic", {}).get("items") or []
    if _SIEMENS_COUNT in header:
        counted = [header[_SIEMENS_COUNT].value]
    protocol = _csa(header, _CSA_SERIES)
    for name in ("MrPhoenixProtocol", "MrProtocol"):
        text = "".join(map(str, protocol.get(name, {}).get("items") or []))
        found = _SLICES_IN_PROTOCOL.search(text)
        counted = counted or ([found[1]] if found else [])
    try:
        return int(counted[0])
    except (IndexError, ValueError, TypeError):
        raise UnreadableError("a mosaic does not say how many slices it holds; convert it to single slices") from None


def _siemens_normal(header: Dataset) -> Any:
    items = _csa(header, _CSA_IMAGE).get("SliceNormalVector", {}).get("items") or []
    return np.array(items[:3], dtype=float) if len(items) >= 3 else None


def _csa(header: Dataset, tag: tuple[int, int]) -> Mapping[str, Any]:
    """The entries of a CSA header by name; empty where it is missing or not understood."""
    raw = header.get(tag)
    if raw is None or not isinstance(raw.value, bytes):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel calls its DICOM part experimental
        from nibabel.nicom import csareader

        try:
            tags: Mapping[str, Any] = csareader.read(raw.value)["tags"]
        except Exception:  # a parser fed with any bytes fails in any way
            return {}
    return tags
