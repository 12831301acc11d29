"""The seam of an edit: whether an image changes more across the edge of a mask than beside it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError


class Seam(NamedTuple):
    """Two logarithms, 0 about where nothing was edited.

    Args:
        step: of the mean |difference| across the mask's edge over that of the next pairs of voxels on either side.
        texture: of the mean |difference| of the pairs just inside over that of those just outside.
    """

    step: float
    texture: float


def seam(image: NDArray[np.floating], mask: NDArray[np.bool_]) -> Seam:
    """How an image changes across the edge of a mask.

    Along every axis each pair of neighbours of which one lies inside is taken with the pair one voxel further in
    and the one further out, where both lie on their own side. A cut from elsewhere has a large step; an inside that
    is too smooth a texture below 0, one that is too rough a texture above 0.

    Args:
        image: (*spatial), any units.
        mask: like it; true inside.

    Raises:
        MedsynthError: shapes that differ, a mask too thin to have pairs inside, or an image without differences there.
    """
    if image.shape != mask.shape:
        raise MedsynthError("a seam is measured where image and mask have one shape")
    across, inner, outer = [], [], []
    for axis in range(image.ndim):
        values = np.moveaxis(image.astype(np.float64), axis, 0)
        inside: NDArray[np.bool_] = np.moveaxis(mask, axis, 0)
        steps = np.abs(np.diff(values, axis=0))
        a, b, c, d = (inside[place : len(inside) - 3 + place] for place in range(4))
        for into in (a & b & ~c & ~d, ~a & ~b & c & d):
            across.append(steps[1:-1][into])
        inner += [steps[:-2][a & b & ~c & ~d], steps[2:][~a & ~b & c & d]]
        outer += [steps[2:][a & b & ~c & ~d], steps[:-2][~a & ~b & c & d]]
    means = [float(np.concatenate(part).mean()) if sum(map(len, part)) else 0.0 for part in (across, inner, outer)]
    if min(means) <= 0:
        raise MedsynthError(
            "the seam cannot be measured: the mask is thinner than two voxels, or the image is flat there"
        )
    edge, within, beyond = np.log(means)
    return Seam(float(edge - np.logaddexp(within, beyond) + np.log(2)), float(within - beyond))
