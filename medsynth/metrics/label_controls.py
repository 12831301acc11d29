"""Bad cases of anatomy made from real label maps: what a check of shape and place worth its name rejects."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import line_nd

from medsynth.metrics import controls as bad
from medsynth.metrics.anatomy import anatomy_table, touching_shares
from medsynth.metrics.controls import ImageSet, labels_of

Labels = NDArray[np.integer]


def label_controls(
    real: ImageSet, values: Sequence[int], spacing: Sequence[float], rng: np.random.Generator
) -> dict[str, ImageSet]:
    """Every bad case of anatomy, by name, of the same size as `real`; those of two labels where there are two.

    Args:
        real: real images with label maps.
        values: of the labels that are judged.
        spacing: voxel size in mm along each spatial axis.
        rng: source of chance.
    """
    made = {
        bad.ERODED: eroded(real),
        bad.ROUGHENED: roughened(real, rng),
        bad.HOLED: holed(real),
        bad.MOVED: moved(real),
    }
    if len(values) < 2:
        return made
    made |= {bad.MIRRORED: mirrored(real), bad.SWAPPED: swapped(real, values), bad.APART: pulled_apart(real, values)}
    apart = seldom_touching(real, values, spacing)
    return made if apart is None else made | {bad.BRIDGED: bridged(real, apart, spacing)}


def eroded(real: ImageSet) -> ImageSet:
    """Every label map without the voxels that meet the background by a face; the grid's border is none."""
    return _each(real, lambda label: np.where(ndimage.binary_erosion(label > 0, border_value=1), label, 0))


def roughened(real: ImageSet, rng: np.random.Generator, share: float = 0.25) -> ImageSet:
    """Of the voxels on either side of the labels' surface to the background, `share` taken away or added."""

    def rough(label: Labels) -> Labels:
        foreground = label > 0
        grown = ndimage.grey_dilation(label, footprint=ndimage.generate_binary_structure(label.ndim, 1))
        outer = ndimage.binary_dilation(foreground) & ~foreground
        inner = foreground & ~ndimage.binary_erosion(foreground, border_value=1)
        chosen = rng.random(label.shape) < share
        return np.where(chosen & outer, grown, np.where(chosen & inner, 0, label))

    return _each(real, rough)


def holed(real: ImageSet, every: int = 5) -> ImageSet:
    """In one map of `every`, the innermost voxel of each label is background, where it lies inside by two."""

    def pierced(label: Labels) -> Labels:
        label = label.copy()
        for value in np.unique(label[label > 0]):
            depth = ndimage.distance_transform_cdt(np.pad(label == value, 1), "chessboard")
            deepest = np.unravel_index(depth.argmax(), depth.shape)
            if depth[deepest] > 1:
                label[tuple(int(at) - 1 for at in deepest)] = 0
        return label

    return _some(real, pierced, every)


def moved(real: ImageSet) -> ImageSet:
    """Every label map moved along every axis by a tenth of its side, one voxel at least; what comes in is 0."""
    steps = [max(1, round(side / 10)) for side in labels_of(real).shape[1:]]
    return _each(real, lambda label: _shifted(label, steps))


def mirrored(real: ImageSet) -> ImageSet:
    """Every label map mirrored along every axis."""
    return _each(real, np.flip)


def swapped(real: ImageSet, values: Sequence[int]) -> ImageSet:
    """The two most frequent of the labels with each other's values."""
    labels = labels_of(real)
    first, second = sorted(values, key=lambda value: -int((labels == value).sum()))[:2]
    return real._replace(labels=np.where(labels == first, second, np.where(labels == second, first, labels)))


def pulled_apart(real: ImageSet, values: Sequence[int], voxels: float = 2.0) -> ImageSet:
    """Every label moved by `voxels` away from the middle of all labels; where two meet, the later value is seen."""

    def pulled(label: Labels) -> Labels:
        found = np.zeros_like(label)
        if not label.any():
            return found
        middle = np.array(ndimage.center_of_mass(label > 0))
        for value in values:
            inside = label == value
            if inside.any():
                way = np.array(ndimage.center_of_mass(inside)) - middle
                length = float(np.linalg.norm(way))
                steps = np.round(voxels * way / length).astype(int) if length > 0 else np.zeros(label.ndim, dtype=int)
                found[_shifted(inside, steps.tolist())] = value
        return found

    return _each(real, pulled)


def seldom_touching(real: ImageSet, values: Sequence[int], spacing: Sequence[float]) -> tuple[int, int] | None:
    """The two labels that touch in the fewest maps that have both; None where all pairs touch in half of them."""
    table = anatomy_table(labels_of(real), values, spacing)
    pairs, shares = table.pairs, touching_shares(table)
    least = int(shares.argmin())
    return (values[pairs[least][0]], values[pairs[least][1]]) if shares[least] < 0.5 else None


def bridged(real: ImageSet, pair: tuple[int, int], spacing: Sequence[float], every: int = 5) -> ImageSet:
    """In one map of `every`, the two labels of `pair` joined by the shortest line, of the first one's value."""

    def joined(label: Labels) -> Labels:
        first, second = (label == value for value in pair)
        if not first.any() or not second.any():
            return label
        distance, nearest = ndimage.distance_transform_edt(~second, sampling=spacing, return_indices=True)
        start = np.unravel_index(np.where(first, distance, np.inf).argmin(), label.shape)
        path = line_nd(start, nearest[(slice(None), *start)], endpoint=False)
        label = label.copy()
        label[path] = pair[0]
        return label

    return _some(real, joined, every)


def _shifted(label: NDArray[Any], steps: Sequence[int]) -> NDArray[Any]:
    """Moved by whole voxels; what comes in is 0."""
    found = np.zeros_like(label)
    to = tuple(slice(max(0, s), side + min(0, s)) for s, side in zip(steps, label.shape, strict=True))
    come = tuple(slice(max(0, -s), side + min(0, -s)) for s, side in zip(steps, label.shape, strict=True))
    found[to] = label[come]
    return found


def _each(real: ImageSet, change: Callable[[Labels], NDArray[Any]]) -> ImageSet:
    return real._replace(labels=np.stack([change(label) for label in labels_of(real)]))


def _some(real: ImageSet, change: Callable[[Labels], NDArray[Any]], every: int) -> ImageSet:
    labels = labels_of(real).copy()
    for row in range(0, len(labels), every):
        labels[row] = change(labels[row])
    return real._replace(labels=labels)
