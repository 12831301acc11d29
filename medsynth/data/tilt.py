"""Gantry tilt taken out: each slice moved in its own plane, onto a straight grid."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsynth.geometry import Geometry, Stack


class Straight(NamedTuple):
    """A volume on a straight grid."""

    array: NDArray[Any]
    geometry: Geometry


def straightened(array: NDArray[Any], stack: Stack) -> Straight:
    """Move each slice of a tilted stack in its own plane, by linear interpolation.

    The grid keeps orientation and spacing and grows so that it holds all slices; what no slice covers is the
    volume's lowest value. Whole numbers stay whole. Detail below a pixel is lost in the plane, none across slices.

    Args:
        array: (column, row, slice), in the order of the stack.
        stack: with its drift.
    """
    grid = stack.geometry
    along = (np.arange(grid.shape[2]) - (grid.shape[2] - 1) / 2) * grid.spacing[2]
    pixels = along[:, None] * np.array(stack.drift) / np.array(grid.spacing[:2])  # (slice, 2), columns then rows
    low, high = np.floor(pixels.min(0)).astype(int), np.ceil(pixels.max(0)).astype(int)
    shape = (*(np.array(grid.shape[:2]) + high - low), grid.shape[2])
    moved = np.full(shape, array.min(), dtype=np.float64)
    for k, offset in enumerate(pixels):
        whole = np.floor(offset).astype(int)
        at = whole - low
        moved[at[0] : at[0] + grid.shape[0], at[1] : at[1] + grid.shape[1], k] = array[:, :, k]
        moved[:, :, k] = ndimage.shift(moved[:, :, k], offset - whole, order=1, mode="nearest")
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :2] @ low
    kept = np.rint(moved) if np.issubdtype(array.dtype, np.integer) else moved
    return Straight(kept.astype(array.dtype), Geometry(tuple(int(side) for side in shape), affine))
