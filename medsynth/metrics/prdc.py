"""Precision, recall, density and coverage: how the images of one set lie among the nearest neighbours of another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError
from medsynth.metrics.intervals import (
    Estimate,
    Rows,
    around,
    jackknife_errors,
    owners_or_rows,
    share_interval,
)

Array = NDArray[np.float64]
EXPECTED_COVERAGE = 0.95


class Manifolds(NamedTuple):
    """The four values, each 0 to 1 but for density, which may be above 1; `k` is the number of neighbours."""

    precision: float
    recall: float
    density: float
    coverage: float
    k: int


class PRDC(NamedTuple):
    """The four values with their 95% intervals by owner."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate
    k: int


def neighbours(synthetic: int, real: int) -> int:
    """The k of a comparison: the least at which coverage of equal distributions is expected to be 0.95.

    Naeem et al. 2020, lemma 2: E[coverage] = 1 - (M - 1) ... (M - k) / ((M + N - 1) ... (M + N - k)) with M real and
    N synthetic images. Equal numbers give 5, the paper's choice; four times as many reals 13 or 14.

    Args:
        synthetic: number of synthetic images, N.
        real: number of real images, M.

    Returns:
        At least 1 and at most one less than the smaller number of images.
    """
    missed, k = 1.0, 0
    while missed > 1 - EXPECTED_COVERAGE and k < min(synthetic, real) - 1:
        k += 1
        missed *= (real - k) / (real + synthetic - k)
    return max(k, 1)


def squared_distances(x: Array, y: Array) -> Array:
    """Squared Euclidean distances (N, M) of x (N, F) and y (M, F)."""
    squared: Array = np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T, 0)
    return squared


def prdc_of_distances(
    across: Array,
    within_synthetic: Array,
    within_real: Array,
    synthetic_owners: NDArray[np.str_],
    real_owners: NDArray[np.str_],
    k: int | None = None,
) -> Manifolds:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    The ball around an image reaches to the k-th nearest image of another owner: two scans of one patient are near
    each other whatever the set is like.

    Args:
        across: (N, M), squared distances of synthetic to real images.
        within_synthetic: (N, N); within_real: (M, M).
        synthetic_owners: (N,); real_owners: (M,).
        k: number of neighbours; by default `neighbours` says.

    Raises:
        MedsynthError: fewer than two owners on a side.
    """
    k = neighbours(*across.shape) if k is None else k
    real = _radii(within_real, real_owners, k, "real")
    synthetic = _radii(within_synthetic, synthetic_owners, k, "synthetic")
    in_real = across <= real[None]
    return Manifolds(
        precision=float(in_real.any(1).mean()),
        recall=float((across <= synthetic[:, None]).any(0).mean()),
        density=float(in_real.sum(1).mean() / k),
        coverage=float((across.min(0) <= real).mean()),
        k=k,
    )


def prdc(
    synthetic: Array,
    real: Array,
    *,
    synthetic_owners: Sequence[str] | None = None,
    real_owners: Sequence[str] | None = None,
    k: int | None = None,
) -> PRDC:
    """The four values with intervals by owner: Wilson's for shares, the jackknife's for density.

    Args:
        synthetic: (N, F) features; real: (M, F).
        synthetic_owners: patient of each synthetic image, default one each; real_owners: of each real one.
        k: number of neighbours; by default `neighbours` says.

    Raises:
        MedsynthError: fewer than two owners on a side.
    """
    owners = owners_or_rows(synthetic_owners, len(synthetic)), owners_or_rows(real_owners, len(real))
    k = neighbours(len(synthetic), len(real)) if k is None else k
    squared = squared_distances(synthetic, real), squared_distances(synthetic, synthetic), squared_distances(real, real)

    def of(rows: Rows, reals: Rows) -> Manifolds:
        parts = squared[0][np.ix_(rows, reals)], squared[1][np.ix_(rows, rows)], squared[2][np.ix_(reals, reals)]
        return prdc_of_distances(*parts, owners[0][rows], owners[1][reals], k)

    value = of(np.arange(len(synthetic)), np.arange(len(real)))
    errors = np.broadcast_to(jackknife_errors(lambda a, b: of(a, b)[:4], owners[0], owners[1]), 4)
    counts = [len(np.unique(side)) for side in owners]
    return PRDC(
        share_interval(value.precision, errors[0], counts[0]),
        share_interval(value.recall, errors[1], counts[1]),
        around(value.density, errors[2]),
        share_interval(value.coverage, errors[3], counts[1]),
        k,
    )


def _radii(squared: Array, owners: NDArray[np.str_], k: int, side: str) -> Array:
    """Squared distance to the k-th nearest image of another owner, (N,); to the farthest where there are fewer."""
    codes = np.unique(owners, return_inverse=True)[1]
    apart = np.where(codes[:, None] == codes[None], np.inf, squared)
    others = np.isfinite(apart).sum(1)
    if others.min() < 1:
        raise MedsynthError(f"nearest neighbours need {side} images of two patients at least; add cases")
    if others.min() >= k:
        nearest: Array = np.partition(apart, k - 1, axis=1)[:, k - 1]
        return nearest
    radii: Array = np.sort(apart, axis=1)[np.arange(len(apart)), np.minimum(k, others) - 1]
    return radii
