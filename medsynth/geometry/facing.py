"""A volume turned as viewers show it: an order and a direction of its axes, no voxel changed."""

from typing import Any, Literal, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from medsynth.geometry.place import Geometry

Plane = Literal["native", "axial", "sagittal", "coronal"]
_SLICE_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
_ROW_AND_COLUMN = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
"""RAS axes of a row and of a column, by the RAS axis along which the slices lie."""


class Facing(NamedTuple):
    """How a volume is turned, and where it then lies.

    `order` names the array axis that becomes column, row and slice; `flipped` says which of these are turned round.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    geometry: Geometry

    def turned(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array, indexed as before, as (column, row, slice); a view."""
        volume = array.reshape((*array.shape, 1)) if array.ndim == 2 else array
        return volume.transpose(self.order)[tuple(slice(None, None, -1 if turn else 1) for turn in self.flipped)]


def facing(geometry: Geometry, plane: Plane = "native") -> Facing:
    """Turn a volume so that its slices stand as radiologists see them.

    A row runs to the patient's left (axial, coronal) or back (sagittal), a column to the back (axial) or the feet
    (sagittal, coronal); oblique axes count as the nearest of these. Slices follow their normal, row x column.

    Args:
        geometry: of rank 2 or 3; a plane is a volume of one slice.
        plane: along which the slices lie; "native" keeps the third array axis as that of the slices.
    """
    volume = geometry.as_volume
    nearest = nib.orientations.io_orientation(volume.affine)
    array_axis = {int(axis): index for index, (axis, _) in enumerate(nearest)}
    sign = {int(axis): float(way) for axis, way in nearest}
    across = int(nearest[2][0]) if plane == "native" else _SLICE_AXIS[plane]
    row, column = _ROW_AND_COLUMN[across]
    order = (array_axis[row], array_axis[column], array_axis[across])
    first = (sign[row] > 0, sign[column] > 0)  # left, back and feet are the negative ends of RAS
    turned = _moved(volume, order, (*first, False))
    if np.linalg.det(turned.affine[:3, :3]) > 0:
        return Facing(order, (*first, False), turned)
    return Facing(order, (*first, True), _moved(volume, order, (*first, True)))


def _moved(volume: Geometry, order: tuple[int, int, int], flipped: tuple[bool, bool, bool]) -> Geometry:
    affine = np.array(volume.affine)
    affine[:3, :3] = affine[:3, list(order)]
    shape = tuple(volume.shape[axis] for axis in order)
    for axis, turn in enumerate(flipped):
        if turn:
            affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
            affine[:3, axis] *= -1
    return Geometry(shape, affine)
