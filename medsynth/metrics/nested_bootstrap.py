"""Intervals for a score with three sources of chance: which patients trained, the training itself, who was tested.

A network's score depends on the draw of its training patients, on its seed (nested in the draw) and on the
patients that it is tested on (the same for all draws: crossed with both). An interval that leaves one of them
out is too narrow: it says how sure one is of these networks, or of these patients, and not of the method.
"""

from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from medsynth.errors import MedsynthError

Array = NDArray[np.float64]
Level = Literal["draw", "seed", "patient"]
LEVELS: tuple[Level, ...] = ("draw", "seed", "patient")
_AT_ONCE = 250
"""Resamplings that are scored together."""


class Sizes(NamedTuple):
    """How many draws, seeds in each draw, and tested patients there are."""

    draws: int
    seeds: int
    patients: int


class NestedInterval(NamedTuple):
    """A mean over draws, seeds and patients with its interval.

    `error` is the bootstrap's standard error, `freedom` the degrees of freedom of the t that widens it;
    `parts` the standard errors that single levels give when they alone are resampled.
    """

    value: float
    low: float
    high: float
    error: float
    freedom: float
    parts: dict[str, float]


def nested_bootstrap(
    score: Callable[[Array], Array],
    sizes: Sizes,
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    over: Collection[Level] = LEVELS,
) -> NestedInterval:
    """Interval of a mean score by a bootstrap nested over draw, seed and patient.

    Every resampling takes draws with replacement, one fewer than there are (Rao and Wu 1988: with few draws the
    plain bootstrap's variance is too small by that factor), seeds with replacement within each draw that was taken
    (Davison and Hinkley 1997, section 3.8), and patients with replacement, the same ones for all networks, because
    they are crossed with draws (Owen 2007). The resamplings' standard deviation is the error. Its quantiles would
    cover too little with few draws, so the interval is t errors wide, with the degrees of freedom that Satterthwaite's
    (1946) rule gives the sum of the draws' and the patients' variances. A single draw, or draws that are left out of
    `over`, are taken as fixed; seeds then take the draws' place.

    Args:
        score: from weights (R, P), how often each patient counts, to scores (R, D, S) of every network. A paired
            difference is the difference of two scores under the same weights.
        sizes: D, S and P.
        resamples: how many, 100 or more.
        seed: of the resampling.
        confidence: of the interval.
        over: levels that are resampled; leaving one out asks a narrower question.

    Raises:
        MedsynthError: fewer than 2 patients, or 100 resamplings; a score that is not finite.
    """
    if sizes.patients < 2 or min(sizes) < 1 or resamples < 100:
        raise MedsynthError("an interval needs 2 patients, a draw, a seed and 100 resamplings at least")
    ones = np.ones((1, sizes.patients))
    table = score(ones)
    value = float(table.mean())
    if not np.isfinite(table).all():
        raise MedsynthError("a score is not finite: too few tested patients have what is scored")
    rng = np.random.default_rng(seed)
    levels = [level for level in LEVELS if level in over and getattr(sizes, f"{level}s") > 1]
    # Each level alone first: the variance it accounts for, and its degrees of freedom.
    alone = {level: _spread(_resampled(score, sizes, {level}, resamples, rng)) for level in levels}
    error = _spread(_resampled(score, sizes, set(levels), resamples, rng)) if levels else 0.0
    freedom = _freedom(alone, sizes)
    reach = float(student.ppf((1 + confidence) / 2, freedom)) * error if levels else 0.0
    return NestedInterval(
        value, value - reach, value + reach, error, freedom, {str(level): spread for level, spread in alone.items()}
    )


def _spread(means: Array) -> float:
    """Standard deviation of the resamplings that have a score: one without a patient who has a label has none."""
    return float(np.std(means[np.isfinite(means)], ddof=1))


def _resampled(
    score: Callable[[Array], Array], sizes: Sizes, levels: set[Level], resamples: int, rng: np.random.Generator
) -> Array:
    """Means of `resamples` resamplings over `levels`, (R,)."""
    means = []
    for start in range(0, resamples, _AT_ONCE):
        count = min(_AT_ONCE, resamples - start)
        weights = np.ones((count, sizes.patients))
        if "patient" in levels:
            weights = rng.multinomial(sizes.patients, np.full(sizes.patients, 1 / sizes.patients), count).astype(float)
            table = score(weights)
        else:
            table = np.broadcast_to(score(weights[:1]), (count, sizes.draws, sizes.seeds))
        if "seed" in levels:
            # Without the draws the seeds are the highest level: one fewer, for the same reason.
            taken = sizes.seeds if "draw" in levels else sizes.seeds - 1
            rows = rng.integers(sizes.seeds, size=(count, sizes.draws, taken))
            table = np.take_along_axis(table, rows, axis=2)
        of_draws = table.mean(2)
        if "draw" in levels:
            rows = rng.integers(sizes.draws, size=(count, sizes.draws - 1))
            of_draws = np.take_along_axis(of_draws, rows, axis=1)
        means.append(of_draws.mean(1))
    return np.concatenate(means)


def _freedom(alone: dict[Level, float], sizes: Sizes) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite 1946); infinite where nothing varies."""
    of = {
        "draw": sizes.draws - 1,
        "seed": sizes.draws * (sizes.seeds - 1),
        "patient": sizes.patients - 1,
    }
    # The draws' variance holds that of the seeds within them.
    counted = [level for level in alone if level != "seed" or "draw" not in alone]
    total = sum(alone[level] ** 2 for level in counted)
    lost = sum(alone[level] ** 4 / of[level] for level in counted)
    return total**2 / lost if lost > 0 else float("inf")
