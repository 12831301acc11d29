"""Frechet distance of two samples, extrapolated to endless ones; refused where images are few."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError
from medsynth.metrics.intervals import around, jackknife_error, owners_or_rows

Array = NDArray[np.float64]
LEAST_PER_AXIS = 4
"""Images a side for each axis; below (at 2: -0.8 where the truth is 0) the line does not end near the truth."""
ENOUGH_PER_AXIS = 10
"""Below this many the result carries the stamp "small". Two draws of one Gaussian, F = 16 and 4 times as many images
on the other side: at 4, 6, 10 and 20 images an axis the plain distance is 1.66, 1.11, 0.68 and 0.34, the extrapolated
one -0.10, -0.06, 0.00 and 0.00."""
INVERSE_FRACTIONS = (1.0, 1.25, 1.5, 1.75, 2.0)
"""Subsets are 1 / these of the samples."""
DRAWS = 8


class Frechet(NamedTuple):
    """Extrapolated squared distance with its 95% interval.

    `plain` is the distance of the samples as they are, biased upwards; `axes` is the dimension; `size` is "small"
    where there are few images for it, else "enough".
    """

    value: float
    low: float
    high: float
    plain: float
    axes: int
    size: str


def gaussian_frechet(mean_x: Array, cov_x: Array, mean_y: Array, cov_y: Array) -> Array:
    """Squared Frechet distance of Gaussians (Dowson and Landau 1982), |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)).

    Args:
        mean_x: (..., F); cov_x: (..., F, F), symmetric, of the one.
        mean_y, cov_y: of the other.

    Returns:
        (...), at least 0 but for rounding, in squared feature units.
    """
    values, axes = np.linalg.eigh(cov_x)
    root = axes * np.sqrt(np.maximum(values, 0))[..., None, :]
    inner = np.swapaxes(root, -1, -2) @ cov_y @ root  # has the eigenvalues of C C'
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(inner), 0)).sum(-1)
    traces = np.trace(cov_x, axis1=-2, axis2=-1) + np.trace(cov_y, axis1=-2, axis2=-1)
    distance: Array = ((mean_x - mean_y) ** 2).sum(-1) + traces - 2 * cross
    return distance


def frechet_distance(x: Array, y: Array) -> float:
    """Squared Frechet distance of two samples as they are (Heusel et al. 2017); x: (N, F), y: (M, F).

    Biased upwards: two draws of one distribution are at a distance of about F (1/N + 1/M) / 2 in unit variance.
    """
    return float(gaussian_frechet(x.mean(0), np.atleast_2d(np.cov(x.T)), y.mean(0), np.atleast_2d(np.cov(y.T))))


def frechet(
    x: Array,
    y: Array,
    *,
    x_owners: Sequence[str] | None = None,
    y_owners: Sequence[str] | None = None,
    seed: int = 0,
) -> Frechet:
    """The distance at endless samples (FID infinity; Chong and Forsyth 2020), with a jackknife interval by owner.

    Both samples are thinned by the same factor, owner by owner, and the line of the distance over that factor is
    followed to where it would be 0. The value may be below zero by chance: the extrapolation has no bias of first
    order. No covariance is shrunk.

    Args:
        x: (N, F) features of one sample; y: (M, F) of the other.
        x_owners: patient of each row of x, default one each; y_owners: of y.
        seed: of the subsets.

    Raises:
        MedsynthError: fewer than 4 images a side for each axis.
    """
    require_enough(min(len(x), len(y)), x.shape[1])
    owners = owners_or_rows(x_owners, len(x)), owners_or_rows(y_owners, len(y))
    orders = [subset_orders(side, seed + at) for at, side in enumerate(owners)]

    def extrapolated(kept_x: NDArray[np.intp], kept_y: NDArray[np.intp]) -> float:
        left = [
            np.stack([row[np.isin(row, rows)] for row in order])
            for order, rows in zip(orders, (kept_x, kept_y), strict=True)
        ]
        return extrapolated_distance(x, y, left[0], left[1])

    value = extrapolated_distance(x, y, orders[0], orders[1])
    result = around(value, jackknife_error(extrapolated, owners[0], owners[1], blocks=20))
    size = "small" if min(len(x), len(y)) < ENOUGH_PER_AXIS * x.shape[1] else "enough"
    return Frechet(value, result.low, result.high, frechet_distance(x, y), x.shape[1], size)


def require_enough(images: int, axes: int) -> None:
    """Refuse what the extrapolation cannot mend.

    Raises:
        MedsynthError: fewer than 4 images for each axis.
    """
    if images < LEAST_PER_AXIS * axes:
        raise MedsynthError(
            f"a Frechet distance on {axes} axes needs at least {LEAST_PER_AXIS * axes} images a side, here are "
            f"{images}; take fewer axes or more images"
        )


def subset_orders(owners: NDArray[np.str_], seed: int, draws: int = DRAWS) -> NDArray[np.intp]:
    """(draws, N): orders in which images join the subsets, the images of one owner next to each other."""
    rng = np.random.default_rng(seed)
    owner = np.unique(owners, return_inverse=True)[1]
    ranks = [rng.permutation(int(owner.max()) + 1)[owner] for _ in range(draws)]
    return np.stack([np.lexsort((rng.random(len(owner)), rank)) for rank in ranks])


def extrapolated_distance(x: Array, y: Array, x_orders: NDArray[np.intp], y_orders: NDArray[np.intp]) -> float:
    """Intercept of the line through the mean distance of subsets over the factor by which they are thinned.

    Args:
        x: (N, F); y: (M, F).
        x_orders: (draws, n), rows of x; y_orders: (draws, m). The first of each row make its subsets.
    """
    means = []
    for factor in INVERSE_FRACTIONS:
        n, m = (max(2, round(orders.shape[1] / factor)) for orders in (x_orders, y_orders))
        draws = 1 if factor == 1.0 else len(x_orders)
        sides = [_moments(x[x_orders[:draws, :n]]), _moments(y[y_orders[:draws, :m]])]
        means.append(float(gaussian_frechet(*sides[0], *sides[1]).mean()))
    return float(np.polynomial.polynomial.polyfit(INVERSE_FRACTIONS, means, 1)[0])


def _moments(rows: Array) -> tuple[Array, Array]:
    """Means (S, F) and unbiased covariances (S, F, F) of (S, N, F)."""
    centre = rows.mean(1)
    apart = rows - centre[:, None]
    return centre, np.swapaxes(apart, 1, 2) @ apart / (rows.shape[1] - 1)
