"""Means and areas under the ROC curve, each image counted as often as a resampling took its patient."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weighted_mean(values: Array, weights: Array) -> Array:
    """Means (R,) of values (N,) under weights (R, N); what is NaN does not count."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = (weights[:, there] @ values[there]) / weights[:, there].sum(1)
    return mean


def weighted_auc(scores: Array, positive: NDArray[np.bool_], weights: Array) -> Array:
    """Areas under the ROC curve (R,): the chance that a positive scores above a negative (Hanley and McNeil 1982).

    Args:
        scores: (N,), higher is more positive; ties count half.
        positive: (N,).
        weights: (R, N), how often each counts. NaN where they leave no positive or no negative.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.unique(scores[order], return_index=True)[1]
    of_positives = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    of_negatives = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    below = np.cumsum(of_negatives, axis=1) - of_negatives
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Array = (of_positives * (below + of_negatives / 2)).sum(1) / (of_positives.sum(1) * of_negatives.sum(1))
    return area


def auc(first: Array, second: Array) -> float:
    """`weighted_auc` of scores (N,) above scores (M,), all counted once; NaN where a side is empty."""
    scores = np.concatenate([first, second])
    return float(weighted_auc(scores, np.arange(len(scores)) < len(first), np.ones((1, len(scores))))[0])
