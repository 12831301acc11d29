"""Classifier two-sample test: can a classifier tell synthetic from real better than it tells shuffled labels?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from medsynth.errors import MedsynthError
from medsynth.metrics.intervals import around, jackknife_error, owners_or_rows
from medsynth.metrics.splits import Sizes, patient_splits
from medsynth.metrics.weighted import auc

Array = NDArray[np.float64]
FOLDS = 5
PENALTY = 1.0
"""Weight of half the squared coefficients in the sum of the log losses (scikit-learn's 1 / C)."""
_STEPS, _TOLERANCE, _LONGEST = 50, 1e-8, 5.0
_BATCH = 200  # fits at once: bounds the memory
_FEW = 8  # fits whose curvatures are quicker one by one


class TwoSampleTest(NamedTuple):
    """Cross-validated AUC with its 95% interval; 0.5 where nothing tells the samples apart, 1 where all does.

    `p` is the share of permutations by patient that reach the AUC.
    """

    value: float
    low: float
    high: float
    p: float
    permutations: int


def classifier_test(
    x: Array,
    y: Array,
    *,
    permutations: int = 199,
    seed: int = 0,
    x_owners: Sequence[str] | None = None,
    y_owners: Sequence[str] | None = None,
) -> TwoSampleTest:
    """C2ST (Lopez-Paz and Oquab 2017) by ridge logistic regression, the AUC in place of the accuracy.

    Patients stay together in the folds and in every permutation. The interval leaves out one patient at a time at
    fixed scores; it does not hold the chance of the folds.

    Args:
        x: (N, F) features of one sample; y: (M, F) of the other.
        permutations: at least 1; p is never below 1 / (permutations + 1).
        seed: of the folds and the permutations.
        x_owners: patient of each row of x, default one each; y_owners: of y.

    Raises:
        MedsynthError: fewer than 10 patients.
    """
    owners = [f"x{o}" for o in owners_or_rows(x_owners, len(x))] + [f"y{o}" for o in owners_or_rows(y_owners, len(y))]
    both, named = np.concatenate([x, y]), np.asarray(owners)
    here = np.arange(len(both)) < len(x)
    scores = cross_validated_scores(both, here[None], np.ones((1, len(both)), dtype=bool), named, seed)[0]
    value = auc(scores[here], scores[~here])
    error = jackknife_error(
        lambda a, b: auc(scores[here][a], scores[~here][b]), named[here], named[~here], blocks=len(both)
    )
    spare = int(np.unique(named, return_counts=True)[1].max()) - 1
    sizes = Sizes(len(x), max(2, len(y) - spare))
    rng = np.random.default_rng(seed)
    first, used = np.zeros((2, permutations, len(both)), dtype=bool)
    for row, split in enumerate(patient_splits(owners, sizes, permutations, rng)):
        first[row, split.first] = used[row, split.first] = used[row, split.second] = True
    null = cross_validated_scores(both, first, used, named, seed)
    reached = sum(auc(s[f], s[u & ~f]) >= value for s, f, u in zip(null, first, used, strict=True))
    result = around(value, error)
    return TwoSampleTest(value, result.low, min(1.0, result.high), (1 + reached) / (1 + permutations), permutations)


def cross_validated_scores(
    features: Array,
    first: NDArray[np.bool_],
    used: NDArray[np.bool_],
    owners: NDArray[np.str_],
    seed: int = 0,
    folds: int = FOLDS,
) -> Array:
    """Log odds that an image is of the first group, told by a classifier that saw no image of its owner.

    Every owner is in one fold, the same for all S labellings: folds that knew the labels would favour the true ones.

    Args:
        features: (P, F) of all images.
        first: (S, P), the images of the first group in each labelling.
        used: (S, P), the images that take part.
        owners: (P,).
        seed: of the folds.
        folds: number of folds.

    Returns:
        (S, P); zero where an image takes no part.

    Raises:
        MedsynthError: fewer than twice as many owners as folds.
    """
    fold = _folds(owners, folds, np.random.default_rng(seed))
    scores, design = np.zeros(first.shape), _standardised(features)
    for number in range(folds):
        train = used & (fold != number)
        for start in range(0, len(first), _BATCH):
            part = slice(start, start + _BATCH)
            weights = logistic_fits(design, first[part].astype(np.float64), train[part].astype(np.float64))
            at = np.flatnonzero(fold == number)
            scores[part, at] = (weights @ design[at].T) * used[part][:, at]
    return scores


def logistic_fits(design: Array, targets: Array, weights: Array) -> Array:
    """Ridge logistic regressions on one design for many labellings at once, by Newton's method.

    Every group has half the weight, so that 64 synthetic against 256 real images start from even odds. The last
    column of the design, the constant, is not penalised.

    Args:
        design: (P, F), its last column of ones.
        targets: (S, P) of 0 and 1; weights: (S, P), 0 where an image takes no part.

    Returns:
        Coefficients (S, F).
    """
    ones, zeros = (weights * targets).sum(1), (weights * (1 - targets)).sum(1)
    half = (ones + zeros) / 2
    balance = weights * np.where(
        targets > 0, (half / np.maximum(ones, 1))[:, None], (half / np.maximum(zeros, 1))[:, None]
    )
    width = design.shape[1]
    together = len(targets) >= _FEW
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1) if together else np.empty((0, 0))
    penalty = np.full(width, PENALTY)
    penalty[-1] = 1e-9
    found = np.zeros((len(targets), width))
    for _ in range(_STEPS):
        odds = special.expit(found @ design.T)
        slope = (balance * (odds - targets)) @ design + penalty * found
        bend = balance * odds * (1 - odds)
        if together:
            curve = (bend @ products).reshape(-1, width, width) + np.diag(penalty)
        else:
            curve = np.stack([(design * row[:, None]).T @ design for row in bend]) + np.diag(penalty)
        change = np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
        size = np.abs(change).max(1, keepdims=True)
        found -= change * np.minimum(1.0, _LONGEST / np.maximum(size, 1e-300))
        if size.max() < _TOLERANCE:
            break
    return found


def _standardised(features: Array) -> Array:
    """Unit variance over all images, whichever group they are of, and a last column of ones."""
    spread = features.std(0)
    scaled = (features - features.mean(0)) / np.where(spread > 0, spread, 1)
    return np.concatenate([scaled, np.ones((len(features), 1))], axis=1)


def _folds(owners: NDArray[np.str_], folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    codes = np.unique(owners, return_inverse=True)[1]
    count = int(codes.max()) + 1
    if count < 2 * folds:
        raise MedsynthError(f"a classifier in {folds} folds needs images of at least {2 * folds} patients; add cases")
    dealt: NDArray[np.intp] = rng.permutation(np.arange(count) % folds)[codes]
    return dealt
