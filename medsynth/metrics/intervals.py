"""Standard errors by patient: the images of one patient leave a statistic together."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Z = 1.959964
"""Of a 95% interval."""
MOST_BLOCKS = 40
"""Owners of one side leave one by one where there are at most so many, else in so many blocks."""


class Estimate(NamedTuple):
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


def owners_or_rows(owners: Sequence[str] | NDArray[np.str_] | None, count: int) -> NDArray[np.str_]:
    """The owners as an array; without any, every image is its own owner's.

    Raises:
        ValueError: as many owners as images are needed.
    """
    found = np.arange(count).astype(str) if owners is None else np.asarray(owners).astype(str)
    if len(found) != count:
        raise ValueError(f"{len(found)} owners were given for {count} images")
    return found


def jackknife_errors(
    statistics: Callable[[Rows, Rows], Sequence[float]],
    first: NDArray[np.str_],
    second: NDArray[np.str_],
    *,
    blocks: int = MOST_BLOCKS,
) -> NDArray[np.float64]:
    """Standard errors of statistics of two samples by the delete-a-group jackknife (Kott 2001, J. Official Stat. 17).

    Args:
        statistics: takes the rows kept of the first and of the second sample to K values.
        first: owner of every image of the first sample, (N,).
        second: of the second, (M,). The two samples are taken as independent.
        blocks: most groups of owners a side.

    Returns:
        (K,), each 0 or more. They tell little of a statistic that does not move when an image leaves (a share of 1).
    """
    everything = [np.arange(len(first)), np.arange(len(second))]
    variance = np.zeros(1)
    for side, owners in enumerate((first, second)):
        known = np.unique(owners)
        groups = np.array_split(known, min(blocks, len(known)))
        values = []
        for group in groups if len(groups) > 1 else ():
            kept = list(everything)
            kept[side] = np.flatnonzero(~np.isin(owners, group))
            values.append(statistics(kept[0], kept[1]))
        finite = np.array([value for value in values if np.isfinite(value).all()])
        if len(finite) > 1:
            variance = variance + (len(finite) - 1) * finite.var(0)
    errors: NDArray[np.float64] = np.sqrt(variance)
    return errors


def jackknife_error(
    statistic: Callable[[Rows, Rows], float],
    first: NDArray[np.str_],
    second: NDArray[np.str_],
    *,
    blocks: int = MOST_BLOCKS,
) -> float:
    """`jackknife_errors` of one statistic."""
    return float(jackknife_errors(lambda a, b: [statistic(a, b)], first, second, blocks=blocks)[0])


def around(value: float, error: float) -> Estimate:
    """The value with 1.96 standard errors to either side."""
    return Estimate(value, value - Z * error, value + Z * error)


def share_interval(share: float, error: float, owners: int) -> Estimate:
    """Wilson's interval (1927) of a share, which does not close at 0 and 1.

    The number of images is the one that would give the share its error by chance alone, at most the owners'.

    Args:
        share: 0 to 1.
        error: its standard error by owner, 0 or more.
        owners: number of owners, at least 1.
    """
    free = share * (1 - share)
    count = min(float(owners), free / error**2) if error > 0 and free > 0 else float(owners)
    count = max(count, 1.0)
    middle = share + Z**2 / 2 / count
    width = Z * float(np.sqrt(free / count + Z**2 / 4 / count**2))
    scale = 1 + Z**2 / count
    low, high = (middle - width) / scale, (middle + width) / scale
    return Estimate(share, min(share, max(0.0, low)), max(share, min(1.0, high)))
