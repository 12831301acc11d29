"""Splits by patient: no patient is in two of train, validation and test."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medsynth.errors import MedsynthError
from medsynth.records import SPLITS, CaseRecord, Split

_OF_A_PART = ("patients", "draw")


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """How patients are divided.

    Args:
        seed: of the shuffle, 0 or more.
        validation, test: fractions of the patients, each above 0 or exactly 0.
        patients: how many patients training and validation use together, None for all that are not held out for
            test; `validation` is then a fraction of these. The others are in no split.
        draw: which patients those are, 0 or more.
    """

    seed: int = 0
    validation: float = 0.1
    test: float = 0.1
    patients: int | None = None
    draw: int = 0

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise MedsynthError("split: validation and test are fractions of the patients and leave some for training")
        if self.seed < 0:
            raise MedsynthError("data.split.seed is 0 or more")
        if self.draw < 0 or (self.patients is not None and self.patients < 2):
            raise MedsynthError("data.split.patients is 2 or more, or null for all; data.split.draw is 0 or more")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; without what only a part of the patients needs where all are used."""
        content = asdict(self)
        return content if self.patients is not None else {k: v for k, v in content.items() if k not in _OF_A_PART}


def split_patients(records: Sequence[CaseRecord], plan: SplitPlan) -> dict[str, Split]:
    """The split of every patient key, a function of the scans' contents and the seed alone.

    Patients for whom a record names a split keep it; but where none is named for validation,
    those named for training can be drawn for it too. The others are shuffled in an order
    that depends on their voxels and not on their key, so that two sites with different
    secret keys get the same division. Patients who share an image, byte for byte, are one
    person under two names and stay together. Every split that is asked for gets a patient.
    With `plan.patients` the same patients are held out for test, and patients who are not used are missing.

    Raises:
        MedsynthError: a patient in two fixed splits, fewer patients than splits, or than `plan.patients`.
    """
    fixed: dict[str, Split] = {}
    digests: dict[str, set[str]] = {}
    person = same_person(records)
    for record in records:
        digests.setdefault(person[record.patient], set()).update(c.sha256 for c in record.channels.values())
        said = record.split
        if said is not None and fixed.setdefault(person[record.patient], said) != said:
            raise MedsynthError("the source puts one patient into two splits; give each patient one split, or none")
    free = {one for one in digests if one not in fixed}
    needed = 1 + (plan.validation > 0) + (plan.test > 0)
    if not fixed and len(free) < needed:
        raise MedsynthError(_too_few(len(free), plan))
    named = set(fixed.values())
    may_validate = free if "validation" in named else free | {one for one, name in fixed.items() if name == "train"}
    pool = sorted(may_validate, key=lambda one: sorted(digests[one]))
    order = [pool[i] for i in np.random.default_rng(plan.seed).permutation(len(pool))]
    result: dict[str, Split] = {one: fixed.get(one, "train") for one in digests}
    if plan.validation and "validation" not in named:
        result |= {one: "validation" for one in order[: max(1, round(plan.validation * len(pool)))]}
    if plan.test and "test" not in named:
        left = [one for one in order if one in free and result[one] == "train"]
        result |= {one: "test" for one in left[: max(1, round(plan.test * len(free)))]}
    if not fixed and "train" not in result.values():
        raise MedsynthError("no patient is left for training; lower data.split.validation and data.split.test")
    for name in SPLITS:
        if name not in result.values() and (name == "train" or getattr(plan, name)):
            way = ", or set data.split.test=0" if name == "test" else ""  # training needs a validation patient
            raise MedsynthError(f"the splits that the source names leave no patient for {name}; change them{way}")
    if plan.patients is not None:
        result = _part(result, sorted(digests, key=lambda one: sorted(digests[one])), fixed, plan)
    return {patient: result[one] for patient, one in person.items() if one in result}


def _part(
    whole: Mapping[str, Split], order: Sequence[str], fixed: Mapping[str, Split], plan: SplitPlan
) -> dict[str, Split]:
    """`plan.patients` of those who are not held out for test, divided anew where the source names no validation."""
    assert plan.patients is not None
    usable = [one for one in order if whole[one] != "test"]
    if plan.patients > len(usable):
        raise MedsynthError(
            f"data.split.patients={plan.patients}: {_count(len(usable), '')} are not held out for test; set fewer, "
            "or null for all"
        )
    chosen = [
        usable[i] for i in np.random.default_rng((plan.seed, plan.draw)).permutation(len(usable))[: plan.patients]
    ]
    if "validation" in fixed.values():
        part = {one: whole[one] for one in chosen}
    else:
        held = max(1, round(plan.validation * len(chosen))) if plan.validation else 0
        part = {one: "validation" if rank < held else "train" for rank, one in enumerate(chosen)}
    for name in ("train", "validation"):
        if name not in part.values() and (name == "train" or plan.validation):
            raise MedsynthError(f"data.split.patients={plan.patients} leaves no patient for {name}; set more")
    return part | {one: name for one, name in whole.items() if name == "test"}


def _too_few(patients: int, plan: SplitPlan) -> str:
    asked = [name for name in SPLITS if name == "train" or getattr(plan, name)]
    lacking = len(asked) - patients
    way = f"add scans of at least {_count(lacking)}"
    if plan.validation and plan.test:  # without validation nothing can be trained, without test it can
        way += f", or set data.split.test=0{f' and add {lacking - 1}' if lacking > 1 else ''}"
    return f"{_count(patients, '')} cannot fill {len(asked)} split{'s'[: len(asked) - 1]} ({', '.join(asked)}): {way}"


def _count(patients: int, more: str = "more ") -> str:
    return f"{patients} {more}patient{'' if patients == 1 else 's'}"


def same_person(records: Sequence[CaseRecord]) -> dict[str, str]:
    """For each patient key the key that stands for all who share an image with it."""
    parent = {record.patient: record.patient for record in records}

    def root(patient: str) -> str:
        while parent[patient] != patient:
            patient = parent[patient]
        return patient

    owner: dict[str, str] = {}
    for record in records:
        for channel in record.channels.values():
            if channel.kind == "image":  # label maps may well agree: an empty one, say
                parent[root(record.patient)] = root(owner.setdefault(channel.sha256, record.patient))
    return {patient: root(patient) for patient in parent}


def patients_in(splits: Mapping[str, Split]) -> dict[Split, int]:
    """Number of patients in each split."""
    return {name: sum(split == name for split in splits.values()) for name in SPLITS}
