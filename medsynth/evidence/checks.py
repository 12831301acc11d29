"""The checks: each compares measured images with a reference and holds its own bar.

Where the bar is not a number of the plan it comes from real cases split in two by patient, so a
check asks: is synthetic further from real than real is from real, at these sizes?
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence.measurements import Measured
from medsynth.metrics import controls as bad
from medsynth.metrics.labels import LabelTable, compare_volumes, usual_components
from medsynth.metrics.mmd import mmd2_on_splits, mmd_test, rbf_kernel
from medsynth.metrics.splits import Split, on_splits, simultaneous_band

Array = NDArray[np.float64]
LEAST_WITH_LABEL = 8


class Outcome(NamedTuple):
    """A value beside its bar [low, high]; `passed` is None where there is nothing to measure."""

    value: float | None
    low: float | None
    high: float | None
    passed: bool | None
    detail: dict[str, Any]


class Check(Protocol):
    """A named metric with a bar.

    `must_reject` names the bad cases that show its worth; `looks_at` says which part of an image
    set it depends on: a bad case that leaves that part alone says nothing about it.
    """

    name: str
    must_reject: tuple[str, ...]
    looks_at: tuple[str, ...]

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Compare candidate images with the reference."""
        ...


def _within(value: float, low: float | None, high: float | None, **detail: Any) -> Outcome:
    passed = (low is None or value >= low) and (high is None or value <= high)
    return Outcome(value, low, high, passed, detail)


@dataclass
class MMDCheck:
    """Unbiased RBF-MMD^2 at or below the 95th percentile of real against real."""

    pool: Measured
    splits: Sequence[Split]
    bandwidth: float
    name: str = "MMD"
    must_reject: tuple[str, ...] = (bad.BLUR, bad.NOISE, bad.AVERAGE, bad.CONSTANT)
    looks_at: tuple[str, ...] = ("images",)
    null: Array = field(init=False)

    def __post_init__(self) -> None:
        kernel = rbf_kernel(self.pool.features, self.pool.features, self.bandwidth)
        self.null = mmd2_on_splits(kernel, self.splits)

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """MMD^2 of the features."""
        both = np.concatenate([candidate.features, reference.features])
        n = len(candidate.features)
        split = Split(np.arange(n), np.arange(n, len(both)))
        value = float(mmd2_on_splits(rbf_kernel(both, both, self.bandwidth), [split])[0])
        return _within(value, None, float(np.quantile(self.null, 0.95)))

    def certainty(self, candidate: Measured, reference: Measured, permutations: int, seed: int) -> dict[str, Any]:
        """Interval and permutation p, which only the samples themselves need."""
        result = mmd_test(
            candidate.features,
            reference.features,
            self.bandwidth,
            permutations=permutations,
            rng=np.random.default_rng(seed),
            x_owners=candidate.owners.tolist(),
            y_owners=reference.owners.tolist(),
        )
        quantiles = dict(zip(("5%", "50%", "95%"), np.quantile(self.null, (0.05, 0.5, 0.95)).tolist(), strict=True))
        return {
            "interval": [result.low, result.high],
            "p": result.p,
            "permutations": permutations,
            "real_against_real": quantiles,
        }


@dataclass
class SpectrumCheck:
    """The mean log spectrum inside the simultaneous 95% band of real against real."""

    pool: Measured
    splits: Sequence[Split]
    frequencies: Array
    name: str = "power spectrum"
    must_reject: tuple[str, ...] = (bad.BLUR, bad.NOISE)
    looks_at: tuple[str, ...] = ("images",)
    spread: Array = field(init=False)
    factor: float = field(init=False)

    def __post_init__(self) -> None:
        logs = self.pool.spectra
        gaps = np.stack([logs[s.first].mean(0) - logs[s.second].mean(0) for s in self.splits])
        self.spread, self.factor = simultaneous_band(gaps)

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Largest |z| over the frequencies."""
        z = (candidate.spectra.mean(0) - reference.spectra.mean(0)) / self.spread
        worst = int(np.abs(z).argmax())
        return _within(
            float(np.abs(z[worst])),
            None,
            self.factor,
            worst_cycles_per_mm=float(self.frequencies[worst]),
            worst_z=float(z[worst]),
        )


@dataclass
class SingleSpectraCheck:
    """No more single images outside the reference's band than fresh real images are.

    An image is outside when its largest |z| over the frequencies, by the reference's mean and
    standard deviation, is above the 95% quantile of the reference's own. Fresh reals are outside
    more often than in one case of twenty; how often, the splits say.
    """

    pool: Measured
    splits: Sequence[Split]
    name: str = "power spectrum of single images"
    must_reject: tuple[str, ...] = (bad.BLUR,)
    looks_at: tuple[str, ...] = ("images",)
    bar: float = field(init=False)

    def __post_init__(self) -> None:
        logs = self.pool.spectra
        shares = on_splits(lambda first, second: _share_outside(logs[first], logs[second]), self.splits)
        self.bar = float(np.quantile(shares, 0.95))

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Share of images outside."""
        return _within(_share_outside(candidate.spectra, reference.spectra), None, self.bar)


def _share_outside(spectra: Array, reference: Array) -> float:
    centre, spread = reference.mean(0), np.maximum(reference.std(0), 1e-6)
    limit = np.quantile(np.abs((reference - centre) / spread).max(axis=1), 0.95)
    return float((np.abs((spectra - centre) / spread).max(axis=1) > limit).mean())


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
        interval = {"interval": [result.low, result.high]}
        return _within(result.difference, -0.05, 0.05, **means, **interval, ks=result.ks, ks_p=result.ks_p)


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
        return _within(result.sd_ratio, 0.75, 1.33)


@dataclass
class ConnectivityCheck(LabelCheck):
    """As many parts as reals usually have (one; two lungs) in at least 95% of the images."""

    name: str = "connectivity"
    must_reject: tuple[str, ...] = (bad.SPECKS,)

    def compare(self, first: LabelTable, second: LabelTable) -> Outcome:
        """Share of images with the usual number of parts."""
        usual = usual_components(second)
        share = float((first.components[first.present] == usual).mean())
        real = float((second.components[second.present] == usual).mean())
        return _within(share, 0.95, None, parts=usual, real_share=real)


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
        return _within(gap, float(self.bar[0]), float(self.bar[1]), **means)


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
        return _within(first - second, -self.bar, self.bar, synthetic_share=first, real_share=second)


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
