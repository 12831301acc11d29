"""Is an image nearer to one training patient than chance makes it: per image, and counted over a set.

How alike two images are depends on the image (a smooth one is near to everyone) and on the reference. So every score
is read in units of the image's own spread over *held-out* patients, whom the model never saw, less what is usual of
that reference. An image's `gap` is how much nearer its nearest training patient is than its nearest held-out one. What
chance does to it is measured on real patients, each searched among all others ("leave one out"): none is a copy.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from medsynth.errors import MedsynthError

Array = NDArray[np.float64]
LEAST_REALS = 20
"""Real patients without whom no tail can be measured."""
_TAIL = 0.2  # of the null gaps make the tail
_LEAST_SPREAD = 1e-3  # of a correlation's Fisher transform


class Scale(NamedTuple):
    """What is usual of real images: `spread` (V,) of a part's scores, `offset` (V, M) of a reference's."""

    spread: Array
    offset: Array


class Nearness(NamedTuple):
    """Of every image: its largest standardised score among training and held-out patients, and which they are.

    `training`, `held_out` (N,) in spreads; `nearest`, `nearest_held_out` (N,) columns. `training_of_same`,
    `held_out_of_same` (N,): the largest to be expected among as many references of either kind, drawn at random from
    the larger one.
    """

    training: Array
    held_out: Array
    nearest: NDArray[np.intp]
    nearest_held_out: NDArray[np.intp]
    training_of_same: Array
    held_out_of_same: Array

    @property
    def gap(self) -> Array:
        """How much nearer the nearest training patient is, in spreads, (N,)."""
        return self.training - self.held_out


class Tail(NamedTuple):
    """Upper tail of the gaps that chance makes: above `threshold` lies a share of them, `excess` beyond it on average.

    `size` gaps lie in the tail, of `total`; `twins` were left out: real images that a copy could not be told from.
    """

    threshold: float
    excess: float
    size: int
    total: int
    twins: NDArray[np.intp]

    def p(self, gaps: Array) -> Array:
        """Chance of a gap as large or larger, for one image.

        In the tail it is the predictive distribution of exponential excesses, (1 + e / (k m))^-k for k excesses of
        mean m: it allows for the tail's having been measured on k images only (Lawless 1982, ch. 3). Below the
        threshold nothing is claimed: the share of the tail.
        """
        excess = np.maximum(np.asarray(gaps) - self.threshold, 0)
        chance: Array = (
            (self.size + 1) / (self.total + 1) * (1 + excess / (self.size * self.excess)) ** -float(self.size)
        )
        return chance


class TailCount(NamedTuple):
    """`above` of `of` images lie above what a share `share` of the reals exceed; `p` of so many by chance.

    `least` is the smallest count that would have had p < alpha.
    """

    above: int
    of: int
    share: float
    p: float
    least: int


def fisher(scores: NDArray[np.floating]) -> Array:
    """Fisher's transform of correlations: about normal."""
    return np.arctanh(np.clip(scores.astype(np.float64), -0.9999, 0.9999))


def fit_scale(scores: Array, training: NDArray[np.bool_], excluded: NDArray[np.bool_]) -> Scale:
    """From real images against all references.

    Args:
        scores: (N, V, M) of real images.
        training: (M,), which references are training patients.
        excluded: (N, M), references that an image is not compared with: its own patient.
    """
    centred, spread = _rows(_without(scores, excluded), training)
    usual = np.maximum(np.nanmedian(spread, axis=0), _LEAST_SPREAD)
    offset = np.nan_to_num(np.nanmedian(centred / usual[:, None], axis=0))
    return Scale(usual, offset)


def nearness(scores: Array, training: NDArray[np.bool_], excluded: NDArray[np.bool_], scale: Scale) -> Nearness:
    """How near every image comes to training and to held-out patients.

    Args:
        scores: (N, V, M), higher is nearer; for correlations their Fisher transform.
        training: (M,), which references are training patients; the others are held out.
        excluded: (N, M), references that an image is not compared with.
        scale: of real images.

    Raises:
        MedsynthError: an image is left without a training or a held-out reference.
    """
    if not ((training & ~excluded).any(1).all() and (~training & ~excluded).any(1).all()):
        raise MedsynthError("an image has no training or no held-out patient to be compared with; add patients")
    centred, spread = _rows(_without(scores, excluded), training)
    standard = centred / np.maximum(spread, scale.spread)[..., None] - scale.offset
    best = np.where(np.isnan(standard), -np.inf, standard).max(axis=1)
    sides = [np.where(side, best, -np.inf) for side in (training, ~training)]
    same = min(int(training.sum()), int((~training).sum()))
    alike = [np.array([best_of(row[np.isfinite(row)], same) for row in side]) for side in sides]
    return Nearness(sides[0].max(1), sides[1].max(1), sides[0].argmax(1), sides[1].argmax(1), *alike)


def fit_tail(gaps: Array) -> Tail:
    """The upper tail of gaps that chance makes, from real images, one a patient.

    A real image whose own gap has p below .05 / N in the tail of the others is left out, at most one in twenty: two
    keys of one patient, say. `twins` says which.

    Raises:
        MedsynthError: fewer than 20 gaps.
    """
    if len(gaps) < LEAST_REALS:
        raise MedsynthError(f"{len(gaps)} real patients are too few to measure what chance does; {LEAST_REALS} are")
    order = np.argsort(gaps)[::-1]
    left_out = 0
    while left_out < len(gaps) // 20:
        rest = _tail(gaps[order[left_out + 1 :]], order[:0])
        if rest.p(gaps[order[left_out : left_out + 1]])[0] > 0.05 / len(gaps):
            break
        left_out += 1
    return _tail(gaps[order[left_out:]], order[:left_out])


def combined(chances: Sequence[Array]) -> Array:
    """The smallest of several p of one image, by Bonferroni, (N,)."""
    smallest: Array = np.minimum(np.min(np.stack(list(chances)), axis=0) * len(chances), 1.0)
    return smallest


def flagged(chances: Array, alpha: float) -> NDArray[np.bool_]:
    """Images whose p is too small for chance, over a whole set: Holm (1979), at most `alpha` of one false alarm."""
    order = np.argsort(chances)
    bars = alpha / (len(chances) - np.arange(len(chances)))
    passed = np.cumprod(chances[order] <= bars).astype(bool)
    result = np.zeros(len(chances), dtype=bool)
    result[order[passed]] = True
    return result


def tail_count(gaps: Array, null: Array, *, share: float = 0.05, alpha: float = 0.05) -> TailCount:
    """How many images lie above the k-th largest null gap, and the chance of so many: exact at any size.

    Where images and nulls are exchangeable, the count is beta-binomial (N, k, n + 1 - k): the k-th largest of n
    exceeds a random share Beta(k, n + 1 - k) of the distribution.

    Args:
        gaps: (N,) of the images in question.
        null: (n,) of real images.
        share: of the null that lies above, about: k is the next whole number of them, at least 1.
        alpha: for `least`.
    """
    k = max(1, round(share * (len(null) + 1)))
    bar = np.sort(null)[-k]
    count = int((gaps > bar).sum())
    chance = stats.betabinom(len(gaps), k, len(null) + 1 - k)
    counts = np.arange(len(gaps) + 1)
    enough = counts[chance.sf(counts - 1) < alpha]
    least = int(enough[0]) if len(enough) else len(gaps) + 1
    return TailCount(count, len(gaps), k / (len(null) + 1), float(min(1.0, chance.sf(count - 1))), least)


def smallest_rate(images: int, found: float, power: float = 0.95) -> float:
    """The smallest rate of copies of which `images` would have shown one with chance `power`.

    Args:
        images: in the set.
        found: chance that a copy is found, the lower bound of an interval.
        power: wanted.
    """
    if found <= 0:
        return 1.0
    return float(min(1.0, (1 - (1 - power) ** (1 / images)) / found))


def exact_interval(hits: int, of: int) -> tuple[float, float]:
    """95% interval of a share (Clopper and Pearson 1934)."""
    found = stats.binomtest(hits, of).proportion_ci(0.95)
    return float(found.low), float(found.high)


def best_of(values: Array, size: int) -> float:
    """Expected largest of `size` of the values, drawn without replacement: like for like where sets differ in size."""
    return float(np.sort(values) @ _weights(len(values), min(size, len(values))))


@functools.lru_cache(maxsize=64)
def _weights(count: int, size: int) -> Array:
    """Chance of each rank, the smallest first, to be the largest of `size` of `count`."""
    ranks = np.arange(1, count + 1)
    below = stats.hypergeom(count, ranks, size).pmf(size)  # all of the draw at or below this rank
    chance: Array = np.diff(np.concatenate([[0.0], below]))
    return chance


def _without(scores: Array, excluded: NDArray[np.bool_]) -> Array:
    kept: Array = np.where(excluded[:, None], np.nan, scores)
    return kept


def _rows(scores: Array, training: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Scores less their median over held-out patients, (N, V, M), and their robust spread over them, (N, V)."""
    held_out = scores[..., ~training]
    centre = np.nanmedian(held_out, axis=2)
    spread = 1.4826 * np.nanmedian(np.abs(held_out - centre[..., None]), axis=2)
    return scores - centre[..., None], spread


def _tail(gaps: Array, twins: NDArray[np.intp]) -> Tail:
    count = max(10, round(_TAIL * len(gaps)))
    ordered = np.sort(gaps)[::-1]
    threshold = float(ordered[count])
    return Tail(threshold, max(float((ordered[:count] - threshold).mean()), 1e-9), count, len(gaps), twins)
