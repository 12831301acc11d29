"""The checks: each compares measured images with a reference and holds its own bar.

Where the bar is not a number of the plan it comes from real cases split in two by patient, so a
check asks: is synthetic further from real than real is from real, at these sizes?
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence.measurements import Measured
from medsynth.metrics import controls as bad
from medsynth.metrics.labels import LabelTable, compare_volumes, usual_components
from medsynth.metrics.splits import Split, on_splits

Array = NDArray[np.float64]
LEAST_WITH_LABEL = 8


class Outcome(NamedTuple):
    """A value beside its bar [low, high]; `passed` is None where there is nothing to measure."""

    value: float | None
    low: float | None
    high: float | None
    passed: bool | None
    detail: dict[str, Any]


class Certainty(NamedTuple):
    """The 95% interval of a value by patient, None where there is none, and what else only the samples need."""

    interval: tuple[float, float] | None
    detail: dict[str, Any]


class Check(Protocol):
    """A named metric with a bar.

    `must_reject` names the bad cases that show its worth; `looks_at` says which part of an image
    set it depends on: a bad case that leaves that part alone says nothing about it. A check may have
    `certainty(candidate, reference, permutations)`, else its interval is the jackknife's; `share` True
    says that the value is a share of the images; `label` and `features` say what it is about.
    """

    name: str
    looks_at: tuple[str, ...]

    @property
    def must_reject(self) -> tuple[str, ...]:
        """Bad cases by name."""
        ...

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Compare candidate images with the reference."""
        ...


def within(value: float, low: float | None, high: float | None, **detail: Any) -> Outcome:
    """The outcome of a value and its bar; a side that is None is open."""
    passed = (low is None or value >= low) and (high is None or value <= high)
    return Outcome(value, low, high, passed, detail)


@dataclass
class LabelCheck:
    """Shared by the checks of one label; absent labels are left out where they cannot be measured."""

    value: int
    label: str
    name: str = ""
    must_reject: tuple[str, ...] = ()
    looks_at: tuple[str, ...] = ("labels",)

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Compare the tables of this label."""
        first, second = candidate.labels[self.value], reference.labels[self.value]
        if min(first.present.sum(), second.present.sum()) < LEAST_WITH_LABEL:
            enough = int(second.present.sum()) >= LEAST_WITH_LABEL
            reason = f"fewer than {LEAST_WITH_LABEL} {'synthetic' if enough else 'real'} images have the label"
            return Outcome(None, None, None, False if enough else None, {"reason": reason})
        return self.compare(first, second)

    def compare(self, first: LabelTable, second: LabelTable) -> Outcome:
        """What the one check is about."""
        raise NotImplementedError


@dataclass
class VolumeMeanCheck(LabelCheck):
    """Mean volume within 5% of the reals'."""

    name: str = "volume, mean"
    must_reject: tuple[str, ...] = (bad.GROWN,)

    def compare(self, first: LabelTable, second: LabelTable) -> Outcome:
        """Relative difference of means."""
        a, b = first.volume[first.present], second.volume[second.present]
        result = compare_volumes(a, b)
        means = {"synthetic_mean_ml": float(a.mean()), "real_mean_ml": float(b.mean())}
        return within(result.difference, -0.05, 0.05, **means, ks=result.ks, ks_p=result.ks_p)


@dataclass
class VolumeSpreadCheck(LabelCheck):
    """Standard deviation of the volume .75 to 1.33 times the reals'."""

    name: str = "volume, SD ratio"
    must_reject: tuple[str, ...] = (bad.REPEATED,)

    def compare(self, first: LabelTable, second: LabelTable) -> Outcome:
        """Ratio of standard deviations."""
        result = compare_volumes(first.volume[first.present], second.volume[second.present])
        if not np.isfinite(result.sd_ratio):
            return Outcome(None, None, None, None, {"reason": "all real volumes are alike"})
        return within(result.sd_ratio, 0.75, 1.33)


@dataclass
class ConnectivityCheck(LabelCheck):
    """As many parts as reals usually have (one; two lungs) in at least 95% of the images."""

    name: str = "connectivity"
    must_reject: tuple[str, ...] = (bad.SPECKS,)
    share: bool = True

    def compare(self, first: LabelTable, second: LabelTable) -> Outcome:
        """Share of images with the usual number of parts."""
        usual = usual_components(second)
        share = float((first.components[first.present] == usual).mean())
        real = float((second.components[second.present] == usual).mean())
        return within(share, 0.95, None, parts=usual, real_share=real)


@dataclass
class ContrastCheck(LabelCheck):
    """Mean contrast to the surroundings as near to the reals' as real is to real in 95% of the splits."""

    pool: Measured | None = None
    splits: Sequence[Split] = ()
    name: str = "contrast"
    must_reject: tuple[str, ...] = (bad.SHUFFLED,)
    looks_at: tuple[str, ...] = ("images", "labels")

    def __post_init__(self) -> None:
        assert self.pool is not None
        column = self.pool.labels[self.value].contrast
        gaps = on_splits(lambda a, b: _mean(column[a]) - _mean(column[b]), self.splits)
        self.bar = np.quantile(gaps, (0.025, 0.975)) if np.isfinite(gaps).all() else None

    def compare(self, first: LabelTable, second: LabelTable) -> Outcome:
        """Difference of mean contrasts."""
        gap = _mean(first.contrast) - _mean(second.contrast)
        if self.bar is None or not np.isfinite(gap):
            return Outcome(None, None, None, None, {"reason": "the label has no surroundings in some draws"})
        means = {"synthetic_mean": _mean(first.contrast), "real_mean": _mean(second.contrast)}
        return within(gap, float(self.bar[0]), float(self.bar[1]), **means)


@dataclass
class PresenceCheck:
    """The label is there as often as in reals, within 5 points or the real splits' range."""

    value: int
    label: str
    pool: Measured
    splits: Sequence[Split]
    name: str = "presence"
    must_reject: tuple[str, ...] = (bad.LOST,)
    looks_at: tuple[str, ...] = ("labels",)

    def __post_init__(self) -> None:
        present = self.pool.labels[self.value].present.astype(np.float64)
        gaps = on_splits(lambda a, b: float(present[a].mean() - present[b].mean()), self.splits)
        self.bar = max(0.05, float(np.quantile(np.abs(gaps), 0.95)))

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Difference of shares."""
        first, second = (float(side.labels[self.value].present.mean()) for side in (candidate, reference))
        return within(first - second, -self.bar, self.bar, synthetic_share=first, real_share=second)


def label_checks(value: int, label: str, pool: Measured, splits: Sequence[Split], *, shape: bool) -> Iterator[Check]:
    """The checks of one label; `shape` False leaves those out that do not look at the image."""
    if shape:
        yield VolumeMeanCheck(value, label)
        yield VolumeSpreadCheck(value, label)
        yield ConnectivityCheck(value, label)
        yield PresenceCheck(value, label, pool, splits)
    yield ContrastCheck(value, label, pool=pool, splits=splits)


def _mean(column: Array) -> float:
    kept = column[np.isfinite(column)]
    return float(kept.mean()) if kept.size else float("nan")
