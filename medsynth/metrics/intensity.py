"""Distributions of intensity: how far apart they are, in the images' own units."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from medsynth.metrics.intervals import around, jackknife_error, owners_or_rows

Array = NDArray[np.float64]
LEVELS = 128
"""Quantiles kept of every image, at the middles of so many equal shares of its voxels."""
SHOWN = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Quantiles of a set's pooled voxels that results are told with."""


class IntensityDistance(NamedTuple):
    """Wasserstein-1 distance with its 95% interval, in units of the images.

    `first` and `second`: quantiles SHOWN of the two sets, (7,) each, in the same units.
    """

    value: float
    low: float
    high: float
    first: Array
    second: Array


def image_quantiles(images: NDArray[np.floating], labels: NDArray[np.bool_] | None = None) -> Array:
    """LEVELS quantiles of every image, (N, LEVELS), in its units; inside the mask where there is one.

    Args:
        images: (N, *spatial).
        labels: (N, *spatial), the voxels that count; an image without any gives NaN.
    """
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    found = np.full((len(images), LEVELS), np.nan)
    for row, image in enumerate(images):
        voxels = image.ravel() if labels is None else image[labels[row]]
        if voxels.size:
            found[row] = np.quantile(voxels.astype(np.float64), levels)
    return found


def pooled_quantiles(quantiles: Array) -> Array:
    """The SHOWN quantiles of all voxels of a set, every image counted alike, from `image_quantiles` (N, LEVELS)."""
    pooled: Array = np.quantile(quantiles[np.isfinite(quantiles[:, 0])], SHOWN)
    return pooled


def wasserstein(first: Array, second: Array) -> float:
    """Wasserstein-1 distance of the pooled voxels of two sets (Vallender 1974), every image counted alike.

    The area between the two distribution functions: the mean way by which a grey value has to be moved.

    Args:
        first: (N, LEVELS) of `image_quantiles`; rows of NaN are left out.
        second: (M, LEVELS).

    Returns:
        The distance in units of the images, NaN where a side has no image.
    """
    sides = [side[np.isfinite(side[:, 0])].ravel() for side in (first, second)]
    return float(stats.wasserstein_distance(*sides)) if min(len(side) for side in sides) else float("nan")


def intensity_distance(
    first: Array,
    second: Array,
    *,
    first_owners: Sequence[str] | None = None,
    second_owners: Sequence[str] | None = None,
) -> IntensityDistance:
    """Wasserstein-1 distance of two sets with a jackknife interval by owner.

    It is above zero for two draws of one distribution too: read it beside real against real.

    Args:
        first: (N, LEVELS) of `image_quantiles`; second: (M, LEVELS).
        first_owners: patient of each image, default one each; second_owners likewise.
    """
    owners = owners_or_rows(first_owners, len(first)), owners_or_rows(second_owners, len(second))
    value = wasserstein(first, second)
    error = jackknife_error(lambda a, b: wasserstein(first[a], second[b]), *owners)
    result = around(value, error)
    return IntensityDistance(
        value, max(0.0, result.low), result.high, pooled_quantiles(first), pooled_quantiles(second)
    )
