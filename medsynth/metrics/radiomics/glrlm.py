"""Grey level run length matrices and their features (IBSI 3.7; Galloway 1975), 2D and 3D."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.metrics.radiomics.directions import half_neighbourhood

Array = NDArray[np.float64]


class RunLengths(NamedTuple):
    """Features of a run length matrix (IBSI 3.7): emphases of short, long, low, high; non-uniformities; spreads."""

    sre: float
    lre: float
    lgre: float
    hgre: float
    srlge: float
    srhge: float
    lrlge: float
    lrhge: float
    glnu: float
    glnu_norm: float
    rlnu: float
    rlnu_norm: float
    r_perc: float
    gl_var: float
    rl_var: float
    rl_entr: float


def run_length_matrices(levels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Counts of runs by level and length, one matrix for each direction, (D, G, L).

    Args:
        levels: (*spatial), grey levels from 1 to G, 0 outside the region.
    """
    padded = np.pad(levels, 1)
    flat = padded.ravel()
    inside = np.flatnonzero(flat)
    strides = [int(s) // padded.itemsize for s in np.empty(padded.shape, padded.dtype).strides]
    count, longest = max(int(levels.max(initial=0)), 1), max(levels.shape)
    found = []
    for step in half_neighbourhood(levels.ndim):
        offset = int(np.dot(step, strides))
        matrix = np.zeros((count, longest), dtype=np.intp)
        alive = inside[flat[inside - offset] != flat[inside]]  # where a run begins
        length = 0
        while len(alive):
            goes_on = flat[alive + (length + 1) * offset] == flat[alive]
            matrix[:, length] = np.bincount(flat[alive[~goes_on]] - 1, minlength=count)
            alive, length = alive[goes_on], length + 1
        found.append(matrix)
    return np.stack(found)


def run_lengths(matrices: Sequence[NDArray[np.integer]] | NDArray[np.integer], voxels: int) -> RunLengths:
    """Features of matrices (D, G, L) merged into one (IBSI: "merged" or "comb"); NaN where there are no runs.

    Args:
        matrices: of every direction. For the features averaged over directions (IBSI: "avg") average those of each.
        voxels: in the region.
    """
    stacked = np.asarray(matrices, dtype=np.float64)
    merged = stacked.sum(axis=0)
    runs = float(merged.sum())
    if runs == 0:
        return RunLengths(*[float("nan")] * len(RunLengths._fields))
    p = merged / runs
    level, length = np.arange(1.0, p.shape[0] + 1), np.arange(1.0, p.shape[1] + 1)
    by_level, by_length = p.sum(axis=1), p.sum(axis=0)
    positive = p[p > 0]
    return RunLengths(
        sre=float((by_length / length**2).sum()),
        lre=float((by_length * length**2).sum()),
        lgre=float((by_level / level**2).sum()),
        hgre=float((by_level * level**2).sum()),
        srlge=float(level**-2 @ p @ length**-2),
        srhge=float(level**2 @ p @ length**-2),
        lrlge=float(level**-2 @ p @ length**2),
        lrhge=float(level**2 @ p @ length**2),
        glnu=float((by_level**2).sum()) * runs,
        glnu_norm=float((by_level**2).sum()),
        rlnu=float((by_length**2).sum()) * runs,
        rlnu_norm=float((by_length**2).sum()),
        r_perc=runs / (voxels * len(stacked)),
        gl_var=_variance(level, by_level),
        rl_var=_variance(length, by_length),
        rl_entr=float(-(positive * np.log2(positive)).sum()),
    )


def _variance(values: Array, share: Array) -> float:
    return float(((values - (values * share).sum()) ** 2 * share).sum())
