"""Which samples are judged against which real cases, and how those are split by patient."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.data.preparation import PreparedCase
from medsynth.evidence.comparison import REAL_DRAWS, Compared, Draws, compare
from medsynth.evidence.measurements import fit_frame
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import FeaturePlan
from medsynth.metrics.splits import Sizes, Split, patient_splits, plan_sizes
from medsynth.records import SampleRecord

Rows = NDArray[np.intp]
ALL = "all"
SHUFFLED_CLASSES = "shuffled classes"
MOST_CLASSES = 12
LEAST_FOR_FEATURES = 8


class Group(NamedTuple):
    """One comparison: rows of the samples used, of the real pool, and of the training images.

    `draws` index the pool; None where nothing can be measured, and `reason` says why. `reference`
    is "held-out" where the pool holds validation and test patients alone, else
    "training and held-out". `strangers`: rows of real cases of other classes.
    """

    name: str
    asked: int
    samples: Rows
    pool: Rows
    training: Rows
    sizes: Sizes | None
    draws: Draws | None
    reference: str
    reason: str
    strangers: Rows


def make_groups(
    records: Sequence[SampleRecord], prepared: Sequence[PreparedCase], by: str | None, seed: int, splits: int
) -> list[Group]:
    """A group for every value of the condition `by`, then all of them together; without it, one of all."""
    patients = np.array([case.record.patient for case in prepared])
    training = np.array([case.split == "train" for case in prepared], dtype=bool)
    asked = [record.condition.get(by) if by else None for record in records]
    values = sorted({str(value) for value in asked if value is not None})
    if len(values) < 1 or len(values) > MOST_CLASSES or None in asked:
        return [_group(ALL, np.arange(len(records)), np.arange(len(prepared)), patients, training, seed, splits)]
    known = [case.record.attributes.get(by or "") for case in prepared]
    real = np.array(["" if value is None else str(value) for value in known])
    wanted = np.array([str(value) for value in asked])
    groups = []
    for value in values:
        rows = np.flatnonzero(wanted == value), np.flatnonzero(real == value)
        group = _group(value, *rows, patients, training, seed, splits)
        groups.append(group._replace(strangers=np.flatnonzero((real != value) & (real != ""))))
    return [*groups, _together(groups, patients, seed, splits)] if len(groups) > 1 else groups


def compare_group(
    group: Group,
    samples: ImageSet,
    real: ImageSet,
    *,
    features: Mapping[str, FeaturePlan],
    spacing: Sequence[float],
    units: str,
    labels: dict[int, str],
    shape_checks: bool,
    permutations: int,
    seed: int,
    cache: Path | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> Compared:
    """Compare one group that has draws, in one channel.

    Args:
        group: from `make_groups`.
        samples: all samples of the folder; real: all real cases, one channel.
        features: plans by name, fitted on the real training images of the group.
        spacing: voxel size in mm.
        units: of the channel.
        labels: value and name of each label to judge.
        shape_checks: judge volume, connectivity and presence too.
        permutations, seed: as in `compare`.
        cache: folder for what is dear to fit again; None: nothing is kept.
        step: called with a word before each part.
    """
    assert group.draws is not None
    assert group.sizes is not None
    more: Mapping[str, ImageSet] = {}
    if len(group.strangers):
        # As many of each class as a generator that ignores the class would give.
        everyone = np.concatenate([group.pool, group.strangers])
        drawn = np.random.default_rng(seed + 2).choice(everyone, min(group.sizes.first, len(everyone)), replace=False)
        more = {SHUFFLED_CLASSES: real.take(drawn)}
    training = real.take(group.training)
    return compare(
        samples.take(group.samples),
        real.take(group.pool),
        fit_frame(features, training, spacing, labels, units=units, seed=seed, cache=cache),
        group.draws,
        permutations=permutations,
        seed=seed,
        shape_checks=shape_checks,
        more_controls=more,
        step=step,
    )


def _group(
    name: str,
    samples: Rows,
    real: Rows,
    patients: NDArray[np.str_],
    training: NDArray[np.bool_],
    seed: int,
    splits: int,
) -> Group:
    held_out = real[~training[real]]
    sizes = plan_sizes(patients[held_out].tolist(), len(samples))
    enough = sizes is not None and sizes.first == len(samples)
    pool, reference = (held_out, "held-out") if enough else (real, "training and held-out")
    sizes = plan_sizes(patients[pool].tolist(), len(samples))
    fixed = real[training[real]]
    reason = ""
    if sizes is None:
        reason = f"not measurable at this size: {len(samples)} samples, {len(pool)} real images to split in two"
    elif len(fixed) < LEAST_FOR_FEATURES:
        reason = f"not measurable: {len(fixed)} real training images fix no features, {LEAST_FOR_FEATURES} are needed"
    none = np.array([], dtype=np.intp)
    if sizes is None or reason:
        return Group(name, len(samples), samples, pool, fixed, None, None, reference, reason, none)
    drawn = patient_splits(patients[pool].tolist(), sizes, REAL_DRAWS + splits, np.random.default_rng(seed))
    draws = Draws(drawn[:REAL_DRAWS], drawn[REAL_DRAWS:])
    return Group(name, len(samples), samples[: sizes.first], pool, fixed, sizes, draws, reference, "", none)


def _together(groups: Sequence[Group], patients: NDArray[np.str_], seed: int, splits: int) -> Group:
    """All classes at once, the reals drawn in the samples' own mixture of classes."""
    asked = sum(group.asked for group in groups)
    samples, pool, training = (
        np.concatenate([getattr(group, part) for group in groups]) for part in ("samples", "pool", "training")
    )
    none = np.array([], dtype=np.intp)
    reference = "held-out" if all(group.reference == "held-out" for group in groups) else "training and held-out"
    whole = [group.sizes for group in groups if group.sizes is not None]
    if len(whole) < len(groups):
        reason = "not measurable: one class at least has too few images"
        return Group(ALL, asked, samples, pool, training, None, None, reference, reason, none)
    ratio = min(sizes.second / sizes.first for sizes in whole)
    rng, offset, parts = np.random.default_rng(seed), 0, []
    for group, own in zip(groups, whole, strict=True):
        sizes = Sizes(own.first, int(own.first * ratio))
        drawn = patient_splits(patients[group.pool].tolist(), sizes, REAL_DRAWS + splits, rng)
        parts.append([Split(split.first + offset, split.second + offset) for split in drawn])
        offset += len(group.pool)
    owners = patients[pool]
    drawn = [
        _apart(Split(*(np.concatenate(side) for side in zip(*pieces, strict=True))), owners)
        for pieces in zip(*parts, strict=True)
    ]
    sizes = Sizes(sum(s.first for s in whole), min(len(split.second) for split in drawn))
    draws = Draws(drawn[:REAL_DRAWS], drawn[REAL_DRAWS:])
    return Group(ALL, asked, samples, pool, training, sizes, draws, reference, "", none)


def _apart(split: Split, owners: NDArray[np.str_]) -> Split:
    """A patient with images in two classes stays in the first side alone."""
    return Split(split.first, split.second[~np.isin(owners[split.second], owners[split.first])])
