"""Splits by patient: no patient is in two of train, validation and test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medsynth.errors import MedsynthError
from medsynth.records import SPLITS, CaseRecord, Split


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """How patients are divided.

    Args:
        seed: of the shuffle, 0 or more.
        validation, test: fractions of the patients, each above 0 or exactly 0.
    """

    seed: int = 0
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise MedsynthError("split: validation and test are fractions of the patients and leave some for training")
        if self.seed < 0:
            raise MedsynthError("data.split.seed is 0 or more")


def split_patients(records: Sequence[CaseRecord], plan: SplitPlan) -> dict[str, Split]:
    """The split of every patient key, a function of the scans' contents and the seed alone.

    Patients for whom a record names a split keep it; but where none is named for validation,
    those named for training can be drawn for it too. The others are shuffled in an order
    that depends on their voxels and not on their key, so that two sites with different
    secret keys get the same division. Patients who share an image, byte for byte, are one
    person under two names and stay together. Every split that is asked for gets a patient.

    Raises:
        MedsynthError: a patient in two fixed splits, or fewer patients than splits.
    """
    fixed: dict[str, Split] = {}
    digests: dict[str, set[str]] = {}
    person = _same_person(records)
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
    return {patient: result[one] for patient, one in person.items()}


def _too_few(patients: int, plan: SplitPlan) -> str:
    asked = [name for name in SPLITS if name == "train" or getattr(plan, name)]
    lacking = len(asked) - patients
    way = f"add scans of at least {_count(lacking)}"
    if plan.validation and plan.test:  # without validation nothing can be trained, without test it can
        way += f", or set data.split.test=0{f' and add {lacking - 1}' if lacking > 1 else ''}"
    return f"{_count(patients, '')} cannot fill {len(asked)} split{'s'[: len(asked) - 1]} ({', '.join(asked)}): {way}"


def _count(patients: int, more: str = "more ") -> str:
    return f"{patients} {more}patient{'' if patients == 1 else 's'}"


def _same_person(records: Sequence[CaseRecord]) -> dict[str, str]:
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
