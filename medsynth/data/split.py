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
        seed: of the shuffle.
        validation, test: fractions of the patients, each above 0 or exactly 0.
    """

    seed: int = 0
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if min(self.validation, self.test) < 0 or self.validation + self.test >= 1:
            raise MedsynthError("split: validation and test are fractions of the patients and leave some for training")


def split_patients(records: Sequence[CaseRecord], plan: SplitPlan) -> dict[str, Split]:
    """The split of every patient key, a function of the scans' contents and the seed alone.

    Patients whose records all name a split keep it. The others are shuffled in an order
    that depends on their voxels and not on their key, so that two sites with different
    secret keys get the same division. Every split that is asked for gets a patient.

    Raises:
        MedsynthError: a patient in two fixed splits, or fewer patients than splits.
    """
    fixed: dict[str, Split] = {}
    content: dict[str, str] = {}
    for record in records:
        digest = min(channel.sha256 for channel in record.channels.values())
        content[record.patient] = min(digest, content.get(record.patient, digest))
        if record.split is not None and fixed.setdefault(record.patient, record.split) != record.split:
            raise MedsynthError("the source puts one patient into two splits; give each patient one split, or none")
    free = sorted((patient for patient in content if patient not in fixed), key=lambda patient: content[patient])
    wanted = {name: getattr(plan, name) for name in ("validation", "test")}
    needed = 1 + sum(fraction > 0 for fraction in wanted.values())
    if not fixed and len(free) < needed:
        raise MedsynthError(
            f"{len(free)} patient(s) cannot fill {needed} splits (train, validation, test): "
            f"add scans of at least {needed - len(free)} more patient(s) or set data.split.test=0"
        )
    order = np.random.default_rng(plan.seed).permutation(len(free))
    result = dict(fixed)
    start = 0
    for name in ("validation", "test"):
        count = 0 if wanted[name] == 0 else max(1, round(wanted[name] * len(free)))
        if name in fixed.values():
            count = 0
        result.update({free[i]: name for i in order[start : start + count]})
        start += count
    result.update({free[i]: "train" for i in order[start:]})
    if "train" not in result.values():
        raise MedsynthError("no patient is left for training; lower data.split.validation and data.split.test")
    return result


def patients_in(splits: Mapping[str, Split]) -> dict[Split, int]:
    """Number of patients in each split."""
    return {name: sum(split == name for split in splits.values()) for name in SPLITS}
