"""Between a case's native grid and the model's: an edit goes there and back, and touches nothing but its mask.

A grid of one plane is a volume of one slice here, so images, volumes and a slice within its volume are
one case. A voxel is the box about its centre; a grid's field is that of its voxels.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry

_SAME_GRID = 0.01
"""Voxels by which grids may lie apart and still be one: rounding of headers is less."""
_EDGE = 1e-3
"""Voxels beyond a field's edge that still count as inside."""


class Native(NamedTuple):
    """Values on a native grid, and where the model's field covers it; elsewhere they mean nothing."""

    values: NDArray[Any]
    covered: NDArray[np.bool_]


class _Steps(NamedTuple):
    """Index on the model's grid = matrix @ native index + offset, both as volumes."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]


def own_units(x: NDArray[Any], own_range: tuple[float, float]) -> NDArray[np.float32]:
    """[-1, 1] -> the units of one case by its own window or percentiles (`Intensity.range_of`), clipped to them.

    Args:
        x: (*spatial), in model units; beyond -1 and 1 it is clipped.
        own_range: the values that -1 and 1 stand for in this case.
    """
    low, high = own_range
    values: NDArray[np.float32] = ((np.clip(x, -1, 1) + 1) / 2 * (high - low) + low).astype(np.float32)
    return values


def to_native(array: NDArray[Any], model: Geometry, native: Geometry, *, label: bool) -> Native:
    """An array on the model's grid as values on a native grid.

    Where the grids are one but for whole voxels, flips and the order of axes, every value is copied.
    Else images are interpolated linearly and labels taken from the nearest voxel. That blurs an image: at native
    voxels smaller than the model's it has the model's detail, about 2 of its voxels; native voxels larger than the
    model's get the average of what they hold, by the same filter as in `medsynth.data.resampling.resample`.

    Args:
        array: (*model.shape).
        model: its place.
        native: where to.
        label: whether the values are labels.

    Returns:
        Values, of the array's type where they are labels or copied, else float32; and covered: native voxels whose
        centre lies in the model's field; both (*native.shape).

    Raises:
        MedsynthError: an array that does not fit its grid.
    """
    _require_shape(array, model)
    steps = _steps(model, native)
    volume, shape = array.reshape(model.as_volume.shape), native.as_volume.shape
    whole = _whole_steps(steps, shape)
    if whole is not None:
        values = _picked(volume, whole, shape)
    else:
        if not label:
            growth = np.maximum(np.linalg.norm(steps.matrix, axis=1), 1)
            volume = volume.astype(np.float32)
            if growth.max() > 1 + _SAME_GRID:
                sigma = np.sqrt((growth**2 - 1) / (8 * np.log(2)))
                volume = gaussian_filter(volume, sigma, mode="nearest")
        values = affine_transform(
            volume, steps.matrix, steps.offset, output_shape=shape, order=0 if label else 1, mode="nearest"
        )
    return Native(values.reshape(native.shape), _covered(steps, model, native))


def to_model_mask(mask: NDArray[np.bool_], native: Geometry, model: Geometry) -> NDArray[np.bool_]:
    """A native mask on the model's grid, with every voxel that a masked native one overlaps or is interpolated from.

    So what `to_native` says of a masked voxel comes from voxels made anew alone; where native voxels are the larger its
    filter looks further, for a quarter along each such axis. The mask comes out larger by up to a model voxel. What a
    filter has carried from masked voxels into unmasked ones of the model's grid stays known; grow the mask where
    that matters.

    Args:
        mask: (*native.shape), bool.
        native: its place.
        model: where to.

    Returns:
        (*model.shape), bool.

    Raises:
        MedsynthError: an empty mask, one that leaves the model's field, or one that does not fit its grid.
    """
    _require_shape(mask, native)
    steps, shape = _steps(model, native), model.as_volume.shape
    count, outside = int(mask.sum()), int((mask & ~_covered(steps, model, native)).sum())
    if count == 0:
        raise MedsynthError("the mask marks no voxel: nothing would be made anew; choose another")
    if outside:
        field = " x ".join(f"{side * step:.0f}" for side, step in zip(model.shape, model.spacing, strict=True))
        raise MedsynthError(
            f"{outside} of the mask's {count} voxels lie outside of the model's field of {field} mm; make the mask "
            "smaller, or train with a larger data.resampling.size"
        )
    # Half a native voxel along the model's axes; at least half a voxel of the model, for the interpolation.
    reach = np.maximum(np.abs(steps.matrix).sum(axis=1) / 2, 0.5)
    marks = np.zeros(tuple(side + 1 for side in shape), dtype=np.int32)
    for first, plane in enumerate(mask.reshape(native.as_volume.shape)):
        rest = np.argwhere(plane)
        if len(rest):
            places = np.column_stack([np.full(len(rest), first), rest]) @ steps.matrix.T + steps.offset
            low = np.floor(places - reach + 0.5 + _EDGE)
            high = np.ceil(places + reach - 0.5 - _EDGE)
            _mark(marks, np.clip(low, 0, shape).astype(int), np.clip(high + 1, 0, shape).astype(int))
    for axis in range(3):
        np.cumsum(marks, axis=axis, out=marks)
    found: NDArray[np.bool_] = (marks[:-1, :-1, :-1] > 0).reshape(model.shape)
    return found


def paste(native: NDArray[Any], made: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """A copy of `native`: outside of the mask the same bits, inside `made` in its type.

    Args:
        native: (*spatial), as the source file stores it (`medsynth.data.nifti.read_stored`).
        made: like it, in the same units (`Stored.from_units`); rounded and clipped to an integer type's range.
        mask: like it, bool.

    Raises:
        MedsynthError: shapes that differ, or values inside the mask that are no numbers.
    """
    if not native.shape == made.shape == mask.shape or mask.dtype != np.bool_:
        raise MedsynthError("an edit needs the scan, what was made and the mask on one grid; bring them there first")
    inside = made[mask].astype(np.float64)
    if not np.isfinite(inside).all():
        raise MedsynthError("what was made holds NaN or infinite values; take weights of another step")
    if np.issubdtype(native.dtype, np.integer):
        limits = np.iinfo(native.dtype)
        most = float(limits.max)
        if int(most) > limits.max:  # float64 has no 2^63 - 1
            most = float(np.nextafter(most, 0))
        inside = np.clip(np.rint(inside), float(limits.min), most)
    result = native.copy()
    result[mask] = inside.astype(native.dtype)
    return result


def _require_shape(array: NDArray[Any], geometry: Geometry) -> None:
    if array.shape != geometry.shape:
        raise MedsynthError(f"an array of shape {array.shape} does not lie on a grid of {geometry.shape}")


def _steps(model: Geometry, native: Geometry) -> _Steps:
    affine = np.linalg.inv(model.affine) @ native.affine
    return _Steps(affine[:3, :3], affine[:3, 3])


def _whole_steps(steps: _Steps, shape: tuple[int, ...]) -> _Steps | None:
    """Steps rounded to whole voxels where no native voxel lies further off; else None."""
    matrix, offset = np.rint(steps.matrix), np.rint(steps.offset)
    single = np.flatnonzero(np.array(shape) == 1)  # no step is made there: it takes the axis that is left
    matrix[:, single] = 0
    left = np.flatnonzero(~matrix.any(axis=1))
    if len(left) != len(single):
        return None
    matrix[left, single] = 1
    permutation = (np.abs(matrix).sum(axis=0) == 1).all() and (np.abs(matrix).sum(axis=1) == 1).all()
    apart = np.abs(steps.matrix - matrix) @ (np.array(shape) - 1) + np.abs(steps.offset - offset)
    return _Steps(matrix, offset) if permutation and apart.max() <= _SAME_GRID else None


def _picked(volume: NDArray[Any], whole: _Steps, shape: tuple[int, ...]) -> NDArray[Any]:
    """Values copied along permuted, flipped and shifted axes; beyond the edge the last one."""
    order = [int(np.abs(whole.matrix[:, axis]).argmax()) for axis in range(3)]
    places = [
        np.clip(int(whole.matrix[to, axis]) * np.arange(shape[axis]) + int(whole.offset[to]), 0, volume.shape[to] - 1)
        for axis, to in enumerate(order)
    ]
    values: NDArray[Any] = volume.transpose(order)[np.ix_(*places)]
    return values


def _covered(steps: _Steps, model: Geometry, native: Geometry) -> NDArray[np.bool_]:
    """Native voxels whose centre lies in the model's field."""
    shape = native.as_volume.shape
    inside = np.ones(shape, dtype=np.bool_)
    _, second, third = np.ogrid[tuple(slice(side) for side in shape)]
    for first in range(shape[0]):  # a plane at a time: places of a whole volume are many times its size
        for (a, b, c), start, side in zip(steps.matrix, steps.offset, model.as_volume.shape, strict=True):
            place = a * first + b * second[0] + c * third[0] + start
            inside[first] &= (place >= -0.5 - _EDGE) & (place <= side - 0.5 + _EDGE)
    return inside.reshape(native.shape)


def _mark(marks: NDArray[np.int32], low: NDArray[np.int_], high: NDArray[np.int_]) -> None:
    """Add the corners of boxes low <= index < high, (N, 3) each: sums along the axes count the boxes (Crow 1984)."""
    for corner in np.ndindex(2, 2, 2):
        ends = np.where(np.array(corner), high, low)
        np.add.at(marks, tuple(ends.T), -1 if sum(corner) % 2 else 1)
