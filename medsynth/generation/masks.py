"""Which voxels an edit makes anew: masks on the case's native grid, bool, true where to make anew."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry, require_straight


def of_label(label: NDArray[Any], values: Collection[int], grow_mm: float, geometry: Geometry) -> NDArray[np.bool_]:
    """Voxels with one of `values`, and all whose centre lies within `grow_mm` of the centre of one.

    Args:
        label: (*spatial), a label map.
        values: label values.
        grow_mm: margin in mm, 0 or more: what a lesion does to its surroundings (oedema, partial volume, the
            filter of a coarser grid) is left unless it lies in the margin.
        geometry: of the label map.

    Raises:
        MedsynthError: no voxel has such a value, the margin leaves none out, or it is negative.
        GeometryError: the grid is sheared, so that steps along its axes do not add up to distances.
    """
    if label.shape != geometry.shape:
        raise MedsynthError("the label map does not lie on the grid that is edited; resample it to the image's grid")
    if not grow_mm >= 0 or not np.isfinite(grow_mm):
        raise MedsynthError("a mask grows by 0 mm or more; to make it smaller, draw another label")
    require_straight(geometry)
    named = f"label {', '.join(map(str, values))}"
    core = _useful(np.isin(label, list(values)), named, "name a label that the case has")
    if grow_mm == 0:
        return core
    mask = np.zeros_like(core)
    near = _surroundings(core, [int(grow_mm / step) + 1 for step in geometry.spacing])
    # A hair more: 3 steps of 0.1 mm are within 0.3 mm.
    mask[near] = distance_transform_edt(~core[near], sampling=geometry.spacing) <= grow_mm * (1 + 1e-9)
    return _useful(mask, f"{named} grown by {grow_mm:g} mm", "grow it less")


def slab(shape: Sequence[int], axis: int, first: int, last: int) -> NDArray[np.bool_]:
    """All voxels with `first` <= index <= `last` along `axis`, (*shape); counted from 0.

    Raises:
        MedsynthError: an axis or indices that the shape does not have, nothing or everything.
    """
    if not 0 <= axis < len(shape):
        raise MedsynthError(f"a slab lies along axis 0 to {len(shape) - 1}, not {axis}")
    low, high = [0] * len(shape), [side - 1 for side in shape]
    low[axis], high[axis] = first, last
    return box(shape, low, high)


def box(shape: Sequence[int], low: Sequence[int], high: Sequence[int]) -> NDArray[np.bool_]:
    """All voxels with `low` <= index <= `high` along each axis, (*shape); counted from 0.

    Raises:
        MedsynthError: corners that the shape does not have, nothing or everything.
    """
    if not len(low) == len(high) == len(shape):
        raise MedsynthError(f"a box has a low and a high corner of {len(shape)} indices each, as the scan has axes")
    for axis, (below, above, side) in enumerate(zip(low, high, shape, strict=True)):
        if not 0 <= below <= above < side:
            raise MedsynthError(
                f"indices {below} to {above} along axis {axis}: give a first and a last one, in this order, "
                f"within 0 to {side - 1}"
            )
    mask = np.zeros(tuple(shape), dtype=np.bool_)
    mask[tuple(slice(below, above + 1) for below, above in zip(low, high, strict=True))] = True
    return _useful(mask, "the mask", "leave some voxels outside")


def _surroundings(core: NDArray[np.bool_], margin: Sequence[int]) -> tuple[slice, ...]:
    """The part of the grid that holds the core and `margin` voxels about it."""
    places = []
    for axis, more in enumerate(margin):
        there = np.flatnonzero(core.any(axis=tuple(a for a in range(core.ndim) if a != axis)))
        places.append(slice(max(0, int(there[0]) - more), int(there[-1]) + more + 1))
    return tuple(places)


def _useful(mask: NDArray[np.bool_], name: str, way_out: str) -> NDArray[np.bool_]:
    if not mask.any():
        raise MedsynthError(f"{name} marks no voxel: nothing would be made anew; {way_out}")
    if mask.all():
        raise MedsynthError(
            f"{name} marks every voxel: nothing of the scan would be left; {way_out}, or generate without a case"
        )
    return mask
