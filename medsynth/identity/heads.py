"""A head in a volume of MR or CT: its skin, its skull and about where its brain lies, from anatomy alone.

Nothing is learned. The skin is the border between air and tissue, at a tenth of the robust range as in
BET (Smith, Hum. Brain Mapp. 17:143, 2002); the skull is the layer without signal below it in MR, or with
that of bone in CT; the brain is what stays in one piece around the middle once thin bridges are eroded
(Atkins and Mackiewich, IEEE Trans. Med. Imaging 17:98, 1998).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsynth.geometry import Geometry

STEP_MM = 2.5
"""Voxel size of the grid on which heads are looked for."""

_AIR_HU, _BONE_HU, _SOFT_HU = -400.0, 300.0, (0.0, 90.0)
_ADULT_WIDTH_MM = 155.0
_WIDTH_MM, _LENGTH_MM = (90.0, 220.0), (110.0, 270.0)
"""Widths and lengths of heads with skin, from infants to large adults, ears and pads included."""

_LEAST_HEIGHT_MM, _LEAST_RAYS = 40.0, 40
_SKULL_RATIO, _SKULL_SHARE = 0.72, 0.7
_BRAIN_ML = (400.0, 2000.0)
_LEAST_CUT = 4000.0
"""mm2 of tissue at the border of the field of view from which on it counts as cut."""
_VOXEL_ML = STEP_MM**3 / 1000


class Grid(NamedTuple):
    """A volume on a grid along RAS with cubes of STEP_MM.

    Args:
        values: (X, Y, Z) float32; 0 (air in CT) where nothing was seen.
        seen: (X, Y, Z), what lies inside the scan's field of view.
        origin: (3,) RAS mm of voxel (0, 0, 0).
        ct: whether values are HU.
    """

    values: NDArray[np.float32]
    seen: NDArray[np.bool_]
    origin: NDArray[np.float64]
    ct: bool


class Head(NamedTuple):
    """A head-sized thing below a dome.

    Args:
        tissue: (X, Y, Z), its skin and what is inside.
        centre: (3,) about the middle of the vault, in voxels of the grid.
        scale: its width in those of an adult.
        closed: whether the top of the dome is in the picture.
        whole: whether the vault touches no side of the field of view.
    """

    tissue: NDArray[np.bool_]
    centre: NDArray[np.float64]
    scale: float
    closed: bool
    whole: bool


def regrid(array: NDArray[Any], geometry: Geometry, modality: str | None = None) -> Grid:
    """Average and resample (linear) onto a grid along RAS that holds the whole volume.

    Args:
        array: (X, Y, Z) of numbers, of any orientation and spacing.
        geometry: its place.
        modality: "CT" where values are HU; None decides by whether air is there at -1000.
    """
    factors = np.maximum(1, np.floor(STEP_MM / np.array(geometry.spacing) + 1e-6)).astype(int)
    factors = np.minimum(factors, array.shape)
    sides = np.array(array.shape) // factors
    cut = array[tuple(slice(0, int(side * factor)) for side, factor in zip(sides, factors, strict=True))]
    blocks = cut.reshape([int(n) for pair in zip(sides, factors, strict=True) for n in pair])
    small = np.nan_to_num(blocks.mean((1, 3, 5), dtype=np.float32), posinf=0, neginf=0)
    matrix = geometry.affine[:3, :3] * factors
    first = geometry.affine[:3, 3] + geometry.affine[:3, :3] @ ((factors - 1) / 2)
    corners = matrix @ np.stack(np.meshgrid(*[(-0.5, side - 0.5) for side in sides], indexing="ij")).reshape(3, -1)
    low, high = corners.min(1) + first, corners.max(1) + first
    shape = tuple(int(n) for n in np.maximum(1, np.ceil((high - low) / STEP_MM - 1e-6)))
    origin = low + STEP_MM / 2
    inverse = np.linalg.inv(matrix)
    step, start = inverse * STEP_MM, inverse @ (origin - first)
    values = ndimage.affine_transform(small, step, start, output_shape=shape, order=1, mode="nearest")
    seen = np.ones(shape, dtype=bool)
    for axis in range(3):
        steps = [step[axis, k] * np.arange(shape[k]).reshape([-1 if k == j else 1 for j in range(3)]) for k in range(3)]
        index = start[axis] + steps[0] + steps[1] + steps[2]
        seen &= (index > -0.51) & (index < sides[axis] - 0.49)
    ct = modality in (None, "CT") and bool(np.percentile(values[seen], 1) < -500)
    values[~seen] = -1000 if ct else 0
    return Grid(values, seen, origin, ct)


def tissues(grid: Grid) -> list[NDArray[np.bool_]]:
    """(X, Y, Z) masks of the largest thing that is no air, at thresholds from low to high (for noisy air in MR)."""
    low, high = np.percentile(grid.values[grid.seen], [2, 98])
    thresholds = [_AIR_HU] if grid.ct else [low + share * (high - low) for share in (0.1, 0.25)]
    return [_largest((grid.values > threshold) & grid.seen, 0 if grid.ct else 2) for threshold in thresholds]


def head_of(grid: Grid, tissue: NDArray[np.bool_]) -> Head | None:
    """The upper end of a thing, where its cross-section is a head's."""
    levels = np.flatnonzero(tissue.sum((0, 1)) * STEP_MM**2 > 1000)
    if len(levels) == 0 or (levels[-1] - levels[0]) * STEP_MM < _LEAST_HEIGHT_MM:
        return None
    top = int(levels[-1])
    lid = max(0, top - round(60 / STEP_MM))
    closed = bool(_open_above(tissue, grid.seen)[:, :, lid:].sum() * STEP_MM**2 < _LEAST_CUT)
    depths = (50, 55, 60, 65, 70) if closed else (5, 10, 15, 20)
    at = [max(0, top - round(depth / STEP_MM)) for depth in depths]
    width, length = (
        float(np.median([np.count_nonzero(tissue[:, :, k].any(1 - axis)) for k in at])) * STEP_MM for axis in (0, 1)
    )
    if width > _WIDTH_MM[1] or length > _LENGTH_MM[1]:
        return None
    part = slice(max(0, top - round(70 / STEP_MM)), top)
    vault = tissue[:, :, part]
    whole = (vault & ~ndimage.binary_erosion(grid.seen)[:, :, part]).sum() * STEP_MM**2 < _LEAST_CUT
    if whole and (width < _WIDTH_MM[0] or length < _LENGTH_MM[0]):
        return None
    scale = float(np.clip(width / _ADULT_WIDTH_MM, 0.6, 1.3)) if whole else 1.0
    sides = [np.flatnonzero(vault.any((1, 2))), np.flatnonzero(vault.any((0, 2)))]
    down = 80 * scale if closed else 12
    centre = np.array([*[(side[0] + side[-1]) / 2 for side in sides], top - down / STEP_MM])
    return Head(tissue, centre, scale, closed, bool(whole))


def has_skull(grid: Grid, head: Head) -> bool:
    """Whether a layer of bone lies below the surface of the vault; where the top is cut off, below that of its rim."""
    dome, rim = np.radians(np.arange(10, 85, 7.5)), np.radians([-4.0, 0.0, 4.0])
    if head.closed:
        return _is_bony(grid, list(_profiles(grid, head, dome)))
    lower = head._replace(centre=head.centre - [0, 0, 60 * head.scale / STEP_MM])
    return any(_is_bony(grid, list(_profiles(grid, one, rise))) for one, rise in ((head, rim), (lower, dome)))


def _is_bony(grid: Grid, profiles: list[NDArray[np.float32]]) -> bool:
    if len(profiles) < _LEAST_RAYS:
        return False
    if grid.ct:
        return bool(np.mean([depths[:22].max() > _BONE_HU for depths in profiles]) > _SKULL_SHARE)
    return bool(np.median([_signal_void(depths) for depths in profiles]) < _SKULL_RATIO)


def brains_of(grid: Grid, head: Head) -> Iterator[NDArray[np.bool_]]:
    """About where the brain may be, (X, Y, Z), the thinner bridges first; none where what is found can be no brain."""
    near = _distance_mm(head, grid.values.shape) < 60 * head.scale
    near &= np.arange(grid.values.shape[2]) > head.centre[2]
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(head.tissue, iterations=2) | head.tissue)
    if grid.ct:
        within = (grid.values > _SOFT_HU[0]) & (grid.values < _SOFT_HU[1])
    else:
        middle = np.median(grid.values[near & head.tissue]) if (near & head.tissue).any() else 0
        within = (grid.values > 0.55 * middle) & (grid.values < 1.9 * middle)
    within &= ndimage.distance_transform_edt(filled) * STEP_MM > 8
    depth = ndimage.distance_transform_edt(within)
    for erosion in (2.2, 3.0, 4.0):
        labels, count = ndimage.label(depth > erosion)
        sizes = np.bincount(labels[near], minlength=count + 1)
        sizes[0] = 0
        if not sizes.any():
            return
        brain = within & (ndimage.distance_transform_edt(labels != sizes.argmax()) <= erosion + 0.7)
        if _BRAIN_ML[0] < brain.sum() * _VOXEL_ML < _BRAIN_ML[1] and _is_inside(brain, head):
            yield np.asarray(brain)


def turned(grid: Grid, tissue: NDArray[np.bool_], axis: int, sign: int) -> tuple[Grid, NDArray[np.bool_]]:
    """A grid, and a mask on it, with what lay towards `sign` of `axis` now towards +z; places in mm are lost."""

    def turn(array: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(array if sign > 0 else np.flip(array, axis), axis, 2)

    return Grid(turn(grid.values), turn(grid.seen), grid.origin, grid.ct), turn(tissue)


def _largest(mask: NDArray[np.bool_], bridged: int) -> NDArray[np.bool_]:
    """The largest thing; gaps of so many voxels on either side (a skull without signal) do not part it."""
    opened = ndimage.binary_opening(mask)
    joined = opened | ndimage.binary_closing(opened, iterations=bridged) if bridged else opened
    labels, count = ndimage.label(joined)
    if not count:
        return np.zeros_like(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(opened & (labels == sizes.argmax()))


def _open_above(tissue: NDArray[np.bool_], seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tissue above which the field of view ends."""
    above = np.zeros_like(seen)
    above[:, :, :-1] = seen[:, :, 1:]
    return np.asarray(tissue & ~above)


def _profiles(grid: Grid, head: Head, rise: NDArray[np.float64]) -> Iterator[NDArray[np.float32]]:
    """Values from the skin inwards, a millimetre apart, along rays to the middle of the vault."""
    rays = [
        (np.sin(turn) * np.cos(up), np.cos(turn) * np.cos(up), np.sin(up))
        for up in rise
        for turn in np.linspace(0, 2 * np.pi, max(4, int(48 * np.cos(up))), endpoint=False)
    ]
    reach = np.arange(0, 170 * head.scale, 1.0)
    points = head.centre[:, None, None] + np.array(rays).T[:, :, None] * reach / STEP_MM
    values = ndimage.map_coordinates(grid.values, points, order=1)
    nearest = tuple(np.rint(points).astype(int))
    inside = np.all(
        [(index >= 0) & (index < side) for index, side in zip(nearest, grid.seen.shape, strict=True)], axis=0
    )
    nearest = tuple(np.where(inside, index, 0) for index in nearest)
    tissue, seen = inside & head.tissue[nearest], inside & grid.seen[nearest]
    for ray in range(len(rays)):
        if tissue[ray].any():
            skin = len(reach) - 1 - int(tissue[ray, ::-1].argmax())
            if 44 < skin < len(reach) - 5 and seen[ray, skin + 3]:
                yield values[ray, : skin + 1][::-1]


def _signal_void(depths: NDArray[np.float32]) -> float:
    """The least signal between skin and brain, in that of the darker of the two."""
    skin = int(depths[:12].argmax())
    around = min(float(depths[skin]), float(np.median(depths[24:42])))
    return float(depths[skin : skin + 16].min()) / max(around, 1e-6)


def _distance_mm(head: Head, shape: tuple[int, ...]) -> NDArray[np.float64]:
    sides = [
        ((np.arange(shape[k]) - head.centre[k]) * STEP_MM).reshape([-1 if k == j else 1 for j in range(3)]) ** 2
        for k in range(3)
    ]
    return np.asarray(np.sqrt(sides[0] + sides[1] + sides[2]))


def _is_inside(brain: NDArray[np.bool_], head: Head) -> bool:
    """Whether, level by level, the brain is narrower than the head by scalp and skull."""
    for level in np.flatnonzero(brain.sum((0, 1)) * STEP_MM**2 > 2000):
        for axis in (0, 1):
            skin = np.flatnonzero(head.tissue[:, :, level].any(1 - axis))
            inner = np.flatnonzero(brain[:, :, level].any(1 - axis))
            if (len(skin) - len(inner)) * STEP_MM < 15 and skin[0] > 0 and skin[-1] < brain.shape[axis] - 1:
                return False
    return True
