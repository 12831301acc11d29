"""Kernel distance: the unbiased MMD^2 with the cubic polynomial kernel, on all images and not on subsets."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medsynth.metrics.intervals import Estimate, around, owners_or_rows
from medsynth.metrics.mmd import kernel_jackknife_error, mmd2_on_splits
from medsynth.metrics.splits import Split

Array = NDArray[np.float64]


def polynomial_kernel(x: Array, y: Array) -> Array:
    """k(x, y) = (x . y / F + 1)^3; x: (N, F), y: (M, F) -> (N, M)."""
    kernel: Array = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def kid(
    x: Array, y: Array, *, x_owners: Sequence[str] | None = None, y_owners: Sequence[str] | None = None
) -> Estimate:
    """KID (Binkowski et al. 2018), the full U-statistic, with a jackknife interval by owner.

    The original averages over subsets of 1,000 images to save memory; with fewer than that there is nothing to save,
    and the full statistic has the smaller variance. It may be below zero: it is unbiased.

    Args:
        x: (N, F) features of one sample; y: (M, F) of the other; N and M at least 2.
        x_owners: patient of each row of x, default one each; y_owners: of y.
    """
    both = np.concatenate([x, y])
    owners = np.concatenate([owners_or_rows(x_owners, len(x)), owners_or_rows(y_owners, len(y))])
    kernel = polynomial_kernel(both, both)
    here = Split(np.arange(len(x)), np.arange(len(x), len(both)))
    value = float(mmd2_on_splits(kernel, [here], owners)[0])
    return around(value, kernel_jackknife_error(kernel, here, owners))
