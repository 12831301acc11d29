"""Contours of a radiotherapy structure set (PS3.3 A.19, C.8.8.6), filled on the grid of an image."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medsynth.data.dicom_file import numbers
from medsynth.data.polygons import fill_even_odd
from medsynth.errors import GeometryError, UnreadableError
from medsynth.geometry import LPS_TO_RAS, Geometry

_CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
_OFF_SLICE, _BENT = 0.25, 0.1  # of the distance between slices


def contoured_voxels(
    path: Path,  # noqa: ARG001  # as for a segmentation
    dataset: Dataset,
    grid: Geometry,
    wanted: Mapping[int, int],
) -> dict[int, NDArray[np.int64]]:
    """Flat indices (C order) into `grid.shape` of each value: voxels whose centre a contour encloses.

    All contours of a structure in one slice count by the even-odd rule, so one within another is a hole. Points and
    open lines enclose nothing. A slice without a contour stays empty: nothing is put between contours.

    Args:
        path: of the file.
        dataset: of it; call inside `quiet`.
        grid: of the image.
        wanted: value by ROI number.

    Raises:
        GeometryError: contours that do not lie in the slices, or wholly outside of the image.
        UnreadableError: a contour that is none.
    """
    columns, rows = grid.shape[:2]
    if grid.rank != 3:
        raise GeometryError("contours on a picture without a place; exclude the label file")
    into_grid = np.linalg.inv(LPS_TO_RAS @ grid.affine).astype(np.float64)
    found: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
    for roi in dataset.get("ROIContourSequence") or []:
        value = wanted.get(int(roi.ReferencedROINumber))
        if value is None:
            continue
        slices: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
        for contour in roi.get("ContourSequence") or []:
            if str(contour.get("ContourGeometricType")) in _CLOSED:
                k, polygon = _in_slice(numbers(contour, "ContourData"), into_grid, grid)
                slices[k].append(polygon)
        for k, polygons in slices.items():
            i, j = np.nonzero(fill_even_odd(polygons, (columns, rows)))
            found[value].append(np.ravel_multi_index((i, j, np.full_like(i, k)), grid.shape).astype(np.int64))
    return {value: np.unique(np.concatenate(parts)) for value, parts in found.items()}


def _in_slice(
    data: tuple[float, ...], into_grid: NDArray[np.float64], grid: Geometry
) -> tuple[int, NDArray[np.float64]]:
    """The slice of a contour, and its corners (N, 2) in pixels of it."""
    if len(data) < 3 or len(data) % 3 or not np.isfinite(data).all():
        raise UnreadableError("a contour is not made of points; export the structure set again")
    points = np.reshape(data, (-1, 3)) @ into_grid[:3, :3].T + into_grid[:3, 3]
    along = points[:, 2]
    k = int(np.rint(along.mean()))
    off, step = float(abs(along.mean() - k)), grid.spacing[2]
    if np.ptp(along) > _BENT:
        raise GeometryError(
            f"a contour does not lie in a slice: it spans {np.ptp(along) * step:.2f} mm across slices that are "
            f"{step:.2f} mm apart; give the series that it was drawn on"
        )
    if off > _OFF_SLICE:
        raise GeometryError(
            f"a contour lies between slices, {off * step:.2f} mm from the nearest one; give the series that it was "
            "drawn on"
        )
    beyond = (points[:, :2].max(axis=0) < 0).any() or (points[:, :2].min(axis=0) > np.array(grid.shape[:2]) - 1).any()
    if beyond or not 0 <= k < grid.shape[2]:
        raise GeometryError("a contour lies outside the image; give the series that it was drawn on")
    return k, points[:, :2]
