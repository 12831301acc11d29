"""What each network is trained on: the arms that are compared, and the controls beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence.utility.tasks import Material

REAL, AUGMENTED, SYNTHETIC = "real", "real + augmentation", "synthetic"
MIXED, MIXED_AUGMENTED = "real + synthetic", "real + synthetic + augmentation"
AGAIN, SHUFFLED, REPEATED = "real + augmentation, again", "real + shuffled synthetic", "real + one synthetic case"
MORE, HALF = "real + other real", "half of the real"
ARMS = (REAL, AUGMENTED, SYNTHETIC, MIXED, MIXED_AUGMENTED)
WITHOUT_SYNTHETIC = (REAL, AUGMENTED, AGAIN, MORE, HALF)

WHAT: Mapping[str, str] = {
    REAL: "the row's real cases as they are",
    AUGMENTED: "the row's real cases under ordinary augmentation",
    SYNTHETIC: "the synthetic cases alone",
    MIXED: "the row's real cases and the synthetic ones",
    MIXED_AUGMENTED: "both under ordinary augmentation",
    AGAIN: "the row's real cases under ordinary augmentation, with other seeds: what chance alone does",
    SHUFFLED: "the row's real cases, and synthetic images with the label of another sample",
    REPEATED: "the row's real cases, and one synthetic case (of each class) again and again",
    MORE: "the row's real cases and as many other real patients, as far as there are so many: an upper reference",
    HALF: "half of the row's real patients, where no others are left: what the other half gives is the upper reference",
}


class Pools(NamedTuple):
    """Material of one draw: the row's real cases, the other training patients' (may be empty), synthetic ones."""

    real: Material
    others: Material
    synthetic: Material


@dataclass(frozen=True)
class Arm:
    """What one network is trained on.

    Args:
        material: images with their targets.
        shares: (N,), the chance of each image to be drawn into a place of a batch; they sum to 1.
        augmented: whether ordinary augmentation is applied.
    """

    material: Material
    shares: NDArray[np.float64]
    augmented: bool


def controls_of(whole: bool) -> tuple[str, ...]:
    """The controls of a row; without patients to add, the upper reference is what half of them lack."""
    return (AGAIN, SHUFFLED, REPEATED, HALF if whole else MORE)


def make_arm(name: str, pools: Pools, share: float, classes: bool, rng: np.random.Generator) -> Arm:
    """The material of an arm.

    Real and synthetic images are mixed by a fixed share: each place of a batch holds a synthetic image with
    probability `share`, whatever the numbers of both; within either kind all images are drawn alike.

    Args:
        name: one of this module's arms.
        pools: of one draw.
        share: of synthetic images, above 0 and below 1.
        classes: whether targets are classes, of each of which REPEATED keeps a case.
        rng: of what is shuffled or chosen.
    """
    real, synthetic = pools.real, pools.synthetic
    augmented = name in (AUGMENTED, AGAIN, MIXED_AUGMENTED)
    if name in (REAL, AUGMENTED, AGAIN):
        return Arm(real, _alike(real), augmented)
    if name == SYNTHETIC:
        return Arm(synthetic, _alike(synthetic), augmented)
    if name == MORE:
        more = real + _patients(pools.others, len(set(real.owners)), rng)
        return Arm(more, _alike(more), augmented)
    if name == HALF:
        half = _patients(real, len(set(real.owners)) // 2, rng)
        return Arm(half, _alike(half), augmented)
    if name == SHUFFLED:
        synthetic = synthetic._replace(targets=synthetic.targets[_derangement(len(synthetic.targets), rng)])
    elif name == REPEATED:
        _, rows = np.unique(synthetic.targets, return_index=True) if classes else (None, np.array([0]))
        synthetic = synthetic.take(np.asarray(rows, dtype=np.intp))
    shares = np.concatenate([(1 - share) * _alike(real), share * _alike(synthetic)])
    return Arm(real + synthetic, shares, augmented)


def _alike(material: Material) -> NDArray[np.float64]:
    return np.full(len(material.images), 1 / len(material.images))


def _patients(material: Material, count: int, rng: np.random.Generator) -> Material:
    """The images of `count` patients, or of all where there are fewer."""
    chosen = rng.permutation(np.unique(material.owners))[:count]
    return material.take(np.flatnonzero(np.isin(material.owners, chosen)))


def _derangement(count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """For every row another row: a walk around the circle of a random order."""
    order = rng.permutation(count)
    other = np.empty(count, dtype=np.intp)
    other[order] = np.roll(order, 1)
    return other
