"""Maximum mean discrepancy with an RBF kernel: unbiased, with interval, permutation p and bar."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError
from medsynth.metrics.splits import Sizes, Split, patient_splits

Array = NDArray[np.float64]


class MMDTest(NamedTuple):
    """MMD^2 of two samples and how sure it is.

    `value` may be below zero: it is unbiased. `low` and `high` are value plus or minus 1.96
    jackknife standard errors; `p` is the share of permutations that reach the value.
    """

    value: float
    low: float
    high: float
    p: float
    permutations: int


def rbf_kernel(x: Array, y: Array, bandwidth: float) -> Array:
    """k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2)); x (N, F), y (M, F) -> (N, M)."""
    squared = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
    kernel: Array = np.exp(-np.maximum(squared, 0) / (2 * bandwidth**2))
    return kernel


def unbiased_mmd2(x: Array, y: Array, bandwidth: float) -> float:
    """Unbiased estimate of MMD^2 (Gretton et al. 2012, JMLR 13, eq. 3).

    Args:
        x: (N, F) features of one sample, N at least 2.
        y: (M, F) features of the other, M at least 2.
        bandwidth: of the RBF kernel, in feature units; fixed beforehand.
    """
    kernel = rbf_kernel(np.concatenate([x, y]), np.concatenate([x, y]), bandwidth)
    return float(mmd2_on_splits(kernel, [Split(np.arange(len(x)), np.arange(len(x), len(x) + len(y)))])[0])


def mmd2_on_splits(kernel: Array, splits: Sequence[Split], owners: NDArray[np.str_] | None = None) -> Array:
    """Unbiased MMD^2 between the two groups of every split, all at once, (S,).

    Two images of one owner (patient) are alike whatever their set is like, so only pairs of different owners count
    within a group: with all pairs the mean would be above zero where the distributions are equal.

    Args:
        kernel: (N, N), symmetric, of all images with each other.
        splits: indices into its rows, without an owner on both sides.
        owners: (N,), default one each. NaN where a group is of one owner alone.
    """
    first, second = (np.zeros((len(splits), len(kernel))) for _ in range(2))
    for row, split in enumerate(splits):
        first[row, split.first] = 1
        second[row, split.second] = 1
    codes = np.arange(len(kernel)) if owners is None else np.unique(owners, return_inverse=True)[1]
    apart = (codes[:, None] != codes[None]).astype(np.float64)
    alike = kernel * apart
    within = []
    for group in (first, second):
        with np.errstate(invalid="ignore"):
            within.append(((group @ alike) * group).sum(1) / ((group @ apart) * group).sum(1))
    across = ((first @ kernel) * second).sum(1) / (first.sum(1) * second.sum(1))
    result: Array = within[0] + within[1] - 2 * across
    return result


def mmd_test(
    x: Array,
    y: Array,
    bandwidth: float,
    *,
    permutations: int = 999,
    rng: np.random.Generator,
    x_owners: Sequence[str] | None = None,
    y_owners: Sequence[str] | None = None,
) -> MMDTest:
    """MMD^2 with a jackknife interval and a permutation p, both by owner (patient).

    The images of one patient make no pairs, stay together in every permutation and leave together in the
    jackknife, so several images a patient do not pass for so many patients. Under equality
    the statistic is far from normal: read the interval when p is small, p when it is not.

    Args:
        x: (N, F); y: (M, F); bandwidth: as for `unbiased_mmd2`.
        permutations: at least 1; p is never below 1 / (permutations + 1).
        rng: source of chance.
        x_owners: patient of each row of x, default one each.
        y_owners: patient of each row of y, default one each.

    Raises:
        MedsynthError: a side has images of one patient alone.
    """
    owners = [f"x{o}" for o in (x_owners if x_owners is not None else range(len(x)))]
    owners += [f"y{o}" for o in (y_owners if y_owners is not None else range(len(y)))]
    both = np.concatenate([x, y])
    kernel = rbf_kernel(both, both, bandwidth)
    n, m = len(x), len(y)
    here = Split(np.arange(n), np.arange(n, n + m))
    names = np.asarray(owners)
    value = float(mmd2_on_splits(kernel, [here], names)[0])
    if np.isnan(value):
        raise MedsynthError("MMD needs images of two patients at least on either side; add cases")
    # A patient cut at the edge of the first group leaves the rest of its images to neither.
    spare = int(np.unique(owners, return_counts=True)[1].max()) - 1
    null = mmd2_on_splits(kernel, patient_splits(owners, Sizes(n, max(2, m - spare)), permutations, rng), names)
    p = (1 + int((~(null < value)).sum())) / (1 + permutations)  # a group of one patient has no value: it counts
    error = kernel_jackknife_error(kernel, here, names)
    return MMDTest(value, value - 1.96 * error, value + 1.96 * error, p, permutations)


def kernel_jackknife_error(kernel: Array, split: Split, owners: NDArray[np.str_]) -> float:
    """Standard error of MMD^2, leaving out one owner at a time in each of the two samples."""
    variance = 0.0
    for side in (0, 1):
        left_out = []
        for owner in np.unique(owners[split[side]]):
            kept = [group[owners[group] != owner] if at == side else group for at, group in enumerate(split)]
            if min(len(np.unique(owners[group])) for group in kept) >= 2:
                left_out.append(Split(*kept))
        if len(left_out) >= 2:
            values = mmd2_on_splits(kernel, left_out, owners)
            variance += float((len(values) - 1) * values.var())
    return float(np.sqrt(variance))
