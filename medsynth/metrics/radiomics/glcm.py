"""Grey level co-occurrence matrices and their features (IBSI 3.6; Haralick et al. 1973), 2D and 3D."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.metrics.radiomics.directions import half_neighbourhood

Array = NDArray[np.float64]


class Cooccurrence(NamedTuple):
    """Features of a co-occurrence matrix (IBSI 3.6); entropies in bits, the rest in grey levels and their powers."""

    joint_max: float
    joint_avg: float
    joint_var: float
    joint_entr: float
    diff_avg: float
    diff_var: float
    diff_entr: float
    sum_avg: float
    sum_var: float
    sum_entr: float
    energy: float
    contrast: float
    dissimilarity: float
    inv_diff: float
    inv_diff_norm: float
    inv_diff_mom: float
    inv_diff_mom_norm: float
    inv_var: float
    corr: float
    auto_corr: float
    clust_tend: float
    clust_shade: float
    clust_prom: float
    info_corr1: float
    info_corr2: float


def cooccurrence_matrices(levels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Symmetric counts of neighbouring levels, one matrix for each direction, (D, G, G).

    Args:
        levels: (*spatial), grey levels from 1 to G, 0 outside the region.
    """
    count = max(int(levels.max(initial=0)), 1)
    found = []
    for step in half_neighbourhood(levels.ndim):
        here, there = (levels[_overlap(step, sign)] for sign in (1, -1))
        both = (here > 0) & (there > 0)
        pairs = np.bincount((here[both] - 1) * count + there[both] - 1, minlength=count**2).reshape(count, count)
        found.append(pairs + pairs.T)
    return np.stack(found)


def cooccurrence(matrices: Sequence[NDArray[np.integer]] | NDArray[np.integer]) -> Cooccurrence:
    """Features of matrices (D, G, G) merged into one (IBSI: "merged" or "comb"); NaN where there are no pairs.

    For the features averaged over directions (IBSI: "avg") average `cooccurrence(m[None])` of each matrix m.
    """
    merged = np.asarray(matrices, dtype=np.float64).sum(axis=0)
    total, count = merged.sum(), len(merged)
    if total == 0:
        return Cooccurrence(*[float("nan")] * len(Cooccurrence._fields))
    p = merged / total
    row, column = np.meshgrid(np.arange(1.0, count + 1), np.arange(1.0, count + 1), indexing="ij")
    apart, above = np.abs(row - column), row + column
    p_apart: Array = np.bincount(apart.astype(np.intp).ravel(), p.ravel(), count).astype(np.float64)
    p_sum: Array = np.bincount(above.astype(np.intp).ravel() - 2, p.ravel(), 2 * count - 1).astype(np.float64)
    gap, both = np.arange(count, dtype=np.float64), np.arange(2.0, 2 * count + 1)
    margin = p.sum(axis=1)
    mean = float((np.arange(1, count + 1) * margin).sum())
    variance = float(((np.arange(1, count + 1) - mean) ** 2 * margin).sum())
    diff_avg, sum_avg = float((gap * p_apart).sum()), float((both * p_sum).sum())
    auto_corr = float((row * column * p).sum())
    centred = above - 2 * mean
    first, second = _information(p, margin)
    return Cooccurrence(
        joint_max=float(p.max()),
        joint_avg=mean,
        joint_var=variance,
        joint_entr=_entropy(p),
        diff_avg=diff_avg,
        diff_var=float(((gap - diff_avg) ** 2 * p_apart).sum()),
        diff_entr=_entropy(p_apart),
        sum_avg=sum_avg,
        sum_var=float(((both - sum_avg) ** 2 * p_sum).sum()),
        sum_entr=_entropy(p_sum),
        energy=float((p**2).sum()),
        contrast=float((apart**2 * p).sum()),
        dissimilarity=float((apart * p).sum()),
        inv_diff=float((p / (1 + apart)).sum()),
        inv_diff_norm=float((p / (1 + apart / count)).sum()),
        inv_diff_mom=float((p / (1 + apart**2)).sum()),
        inv_diff_mom_norm=float((p / (1 + (apart / count) ** 2)).sum()),
        inv_var=float((p_apart[1:] / gap[1:] ** 2).sum()),
        corr=(auto_corr - mean**2) / variance if variance > 0 else float("nan"),
        auto_corr=auto_corr,
        clust_tend=float((centred**2 * p).sum()),
        clust_shade=float((centred**3 * p).sum()),
        clust_prom=float((centred**4 * p).sum()),
        info_corr1=first,
        info_corr2=second,
    )


def _information(p: Array, margin: Array) -> tuple[float, float]:
    """Both measures of correlation by information (IBSI 3.6.24, 3.6.25)."""
    independent = margin[:, None] * margin[None]
    used = independent > 0
    joint, alone = _entropy(p), _entropy(margin)
    cross = float(-(p[used] * np.log2(independent[used])).sum())
    product = _entropy(independent)
    first = (joint - cross) / alone if alone > 0 else float("nan")
    return first, float(np.sqrt(max(1 - np.exp(-2 * (product - joint)), 0.0)))


def _entropy(p: Array) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log2(positive)).sum())


def _overlap(step: Sequence[int], sign: int) -> tuple[slice, ...]:
    """The part of an image that has a neighbour by `step` (sign 1), or is one (sign -1)."""
    return tuple(slice(max(0, -s * sign), -max(0, s * sign) or None) for s in step)
