"""Splits of real cases into two groups that share no patient: the yardstick of every comparison.

Two draws of the same distribution differ by chance. How much they differ at given sizes is
measured, not assumed: real cases are split many times into a first group of n and a second of
m images, and a statistic of synthetic against real is read beside its values on these splits.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.errors import MedsynthError

Indices = NDArray[np.intp]


class Split(NamedTuple):
    """Indices of two groups of images without a patient in common."""

    first: Indices
    second: Indices


class Sizes(NamedTuple):
    """How many images each side of a comparison has."""

    first: int
    second: int


def plan_sizes(patients: Sequence[str], wanted: int, *, ratio: int = 4, least: int = 8) -> Sizes | None:
    """Sizes of a comparison of `wanted` synthetic images with a pool of real ones.

    The second group takes what the first leaves, up to `ratio` times `wanted`. Where the pool
    cannot hold two groups of at least `wanted`, both shrink to the largest equal size.

    Args:
        patients: patient key of each image in the pool.
        wanted: number of synthetic images.
        ratio: largest size of the second group, in sizes of the first.
        least: below this many on a side nothing is measured.

    Returns:
        The sizes, or None where fewer than `least` remain on a side.
    """
    if len(patients) == 0:
        return None
    largest = int(np.unique(np.asarray(patients), return_counts=True)[1].max())
    usable = len(patients) - (largest - 1)  # the last patient of the first group may be cut
    first = min(wanted, usable // 2)
    second = min(usable - first, ratio * first)
    return Sizes(first, second) if first >= least else None


def patient_splits(patients: Sequence[str], sizes: Sizes, count: int, rng: np.random.Generator) -> list[Split]:
    """Draw `count` random splits of the pool into two groups, patient by patient.

    Patients come in random order; the first group fills up with whole patients (the last one cut
    at the size), the next patients fill the second.

    Args:
        patients: patient key of each image, (N,).
        sizes: images in either group.
        count: number of splits.
        rng: source of chance.

    Raises:
        MedsynthError: the pool is too small for these sizes.
    """
    owner = np.unique(np.asarray(patients), return_inverse=True)[1]
    total = int(owner.max()) + 1 if owner.size else 0
    splits = []
    for _ in range(count):
        rank = rng.permutation(total)[owner]
        order = np.lexsort((rng.random(len(owner)), rank))
        first = order[: sizes.first]
        rest = order[sizes.first :]
        second = rest[rank[rest] > rank[first[-1]]][: sizes.second] if len(first) else rest[:0]
        if len(first) < sizes.first or len(second) < sizes.second:
            raise MedsynthError(
                f"{len(owner)} real images of {total} patients cannot be split into {sizes.first} and {sizes.second} "
                "without a patient in both; generate fewer samples or add real cases"
            )
        splits.append(Split(first, second))
    return splits


def on_splits(statistic: Callable[[Indices, Indices], float], splits: Sequence[Split]) -> NDArray[np.float64]:
    """The values of `statistic(first, second)` on every split, (S,)."""
    return np.array([statistic(split.first, split.second) for split in splits], dtype=np.float64)


def simultaneous_band(differences: NDArray[np.float64], level: float = 0.95) -> tuple[NDArray[np.float64], float]:
    """Spread and factor of a band that holds whole curves at once.

    A curve is inside when its largest |difference| / spread over all points is at most the factor,
    the `level` quantile of that maximum over the real splits (max-statistic; Westfall and Young 1993).

    Args:
        differences: (S, F), a curve a split.
        level: share of the splits that lie inside.

    Returns:
        The root mean square at every point, (F,), and the factor.
    """
    spread = np.sqrt((differences**2).mean(axis=0))
    spread = np.maximum(spread, 1e-12)
    return spread, float(np.quantile(np.abs(differences / spread).max(axis=1), level))


def halves(owners: NDArray[np.str_], count: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """`count` random halves of the owners, each as the images (N,) that are of the first half."""
    every = np.unique(owners)
    return [np.isin(owners, rng.permutation(every)[: len(every) // 2]) for _ in range(count)]
