"""Segments of a DICOM segmentation (PS3.3 A.51), frame by frame, on the grid of an image."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import unpack_bits
from pydicom.uid import UID

from medsynth.data.dicom_file import number
from medsynth.data.dicom_pixels import stored_frames
from medsynth.data.dicom_slices import slices_of
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import DicomPlane, Geometry, plane_on_grid

_FRAMES_AT_ONCE = 64


def segmented_voxels(
    path: Path, dataset: Dataset, grid: Geometry, wanted: Mapping[int, int]
) -> dict[int, NDArray[np.int64]]:
    """Flat indices (C order) into `grid.shape` of each value.

    A fractional segment counts where it is at least half.

    Args:
        path: of the file.
        dataset: of it; call inside `quiet`.
        grid: of the image.
        wanted: value by segment number.

    Raises:
        GeometryError: a frame that is no slice of the grid.
        UnreadableError: frames that do not say their segment.
    """
    planes = [part.plane for part in slices_of(path, dataset)] if grid.rank == 3 else None
    segments = None if _is_label_map(dataset) else _segments(dataset)
    frames = range(int(number(dataset, "NumberOfFrames") or 1))
    chosen = [index for index in frames if segments is None or segments[index] in wanted]
    found: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
    # A mask of one bit a pixel becomes one byte: not all frames at once.
    for start in range(0, len(chosen), _FRAMES_AT_ONCE):
        some = chosen[start : start + _FRAMES_AT_ONCE]
        for index, frame in zip(some, _frames(dataset, some), strict=True):
            plane = None if planes is None else planes[index]
            if segments is None:
                for segment, value in wanted.items():
                    found[value].append(_voxels(frame == segment, plane, grid))
            else:
                found[wanted[segments[index]]].append(_voxels(frame >= _least(dataset), plane, grid))
    return {value: np.unique(np.concatenate(parts)) for value, parts in found.items()}


def _frames(dataset: Dataset, frames: Sequence[int]) -> list[NDArray[Any]]:
    if int(dataset.BitsAllocated) != 1 or UID(str(dataset.file_meta.TransferSyntaxUID)).is_encapsulated:
        return stored_frames(dataset, list(frames))
    # Eight pixels a byte, and a frame begins where the last one ended, inside a byte too (PS3.5 8.1.1).
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    size, packed = rows * columns, dataset.PixelData
    found = []
    for frame in frames:
        start, end = frame * size, (frame + 1) * size
        bits = unpack_bits(packed[start // 8 : -(-end // 8)])[start % 8 : start % 8 + size]
        if bits.size != size:
            raise UnreadableError("the pixels of the segmentation are cut short; export it again")
        found.append(bits.reshape(rows, columns))
    return found


def _is_label_map(dataset: Dataset) -> bool:
    return str(dataset.get("SegmentationType")) == "LABELMAP"


def _least(dataset: Dataset) -> float:
    if str(dataset.get("SegmentationType")) == "FRACTIONAL":
        return (number(dataset, "MaximumFractionalValue") or 255) / 2
    return 1


def _segments(dataset: Dataset) -> list[int]:
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    try:
        return [
            int(
                (frame.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence)[
                    0
                ].ReferencedSegmentNumber
            )
            for frame in dataset.PerFrameFunctionalGroupsSequence
        ]
    except (AttributeError, IndexError, TypeError, ValueError):
        raise UnreadableError("a frame does not say which segment it shows; export the segmentation again") from None


def _voxels(mask: NDArray[np.bool_], plane: DicomPlane | None, grid: Geometry) -> NDArray[np.int64]:
    rows, columns = np.nonzero(mask)
    if plane is None:
        if mask.shape != (grid.shape[1], grid.shape[0]):
            raise GeometryError(
                f"a segment of {mask.shape[0]}x{mask.shape[1]} pixels on an image of {grid.shape[1]}x{grid.shape[0]}; "
                "resample it onto the image's grid"
            )
        places = np.stack([columns, rows])
    elif not rows.size:
        return np.zeros(0, dtype=np.int64)
    else:
        places = plane_on_grid(plane, grid) @ np.stack([columns, rows, np.ones_like(rows)])
    sides = np.array(grid.shape)[:, None]
    outside = int(((places < 0) | (places >= sides)).any(axis=0).sum())
    if outside:
        raise GeometryError(f"{outside} pixels of a segment lie outside the image; give the series that it belongs to")
    flat: NDArray[np.int64] = np.ravel_multi_index(tuple(places), grid.shape).astype(np.int64)
    return flat
