"""Slices that lie on the grid of a volume."""

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import GeometryError
from medsynth.geometry.place import LPS_TO_RAS, Geometry
from medsynth.geometry.slices import DicomPlane

_TOLERANCE = 0.05


def plane_on_grid(plane: DicomPlane, grid: Geometry) -> NDArray[np.int64]:
    """Where the pixels of a slice lie in a volume, when every pixel's centre is that of a voxel.

    Args:
        plane: of the slice; it may run along any axis of the grid, and beyond it.
        grid: of rank 3.

    Returns:
        (3, 3) whole numbers: takes (column, row, 1) to the index in the grid.

    Raises:
        GeometryError: a pixel is more than 0.05 voxels off, or pixels are of another size.
    """
    steps = np.zeros((4, 3))
    steps[:3, 0] = plane.row_direction * plane.pixel_spacing[1]  # PS3.3 10.7.1.3: between rows, then between columns
    steps[:3, 1] = plane.column_direction * plane.pixel_spacing[0]
    steps[:, 2] = (*plane.position, 1)
    exact = (np.linalg.inv(LPS_TO_RAS @ grid.affine) @ steps)[:3]
    whole = np.rint(exact)
    corners = np.array([(i, j, 1) for i in (0, plane.columns - 1) for j in (0, plane.rows - 1)]).T
    off = float(np.abs((exact - whole) @ corners).max())
    one_voxel_a_pixel = (np.abs(whole[:, :2]).sum(axis=0) == 1).all() and abs(whole[:, 0] @ whole[:, 1]) == 0
    if off > _TOLERANCE or not one_voxel_a_pixel:
        raise GeometryError(
            f"a slice lies {off:.2f} voxels off the image's grid, or its pixels are of another size; "
            "resample it onto the image's grid"
        )
    return whole.astype(np.int64)
