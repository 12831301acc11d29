"""The checks on the images themselves: power spectrum, intensity and how alike the images of a set are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence import claims
from medsynth.evidence.checks import LEAST_WITH_LABEL, Certainty, Outcome, within
from medsynth.evidence.measurements import Measured
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.diversity import Diversity, diversity, pairwise_ms_ssim
from medsynth.metrics.intensity import SHOWN, pooled_quantiles, wasserstein
from medsynth.metrics.intervals import Z
from medsynth.metrics.splits import Split, on_splits, simultaneous_band

Array = NDArray[np.float64]
MOST_IN_PAIRS = 32
"""Images a side whose pairs MS-SSIM looks at."""


@dataclass
class SpectrumCheck:
    """The mean log spectrum inside the simultaneous 95% band of real against real."""

    pool: Measured
    splits: Sequence[Split]
    frequencies: Array
    name: str = claims.SPECTRUM
    must_reject: tuple[str, ...] = claims.CLAIMS[claims.SPECTRUM]
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
        return within(
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
    name: str = claims.SINGLE_SPECTRA
    must_reject: tuple[str, ...] = claims.CLAIMS[claims.SINGLE_SPECTRA]
    looks_at: tuple[str, ...] = ("images",)
    share: bool = True
    bar: float = field(init=False)

    def __post_init__(self) -> None:
        logs = self.pool.spectra
        shares = on_splits(lambda first, second: _share_outside(logs[first], logs[second]), self.splits)
        self.bar = float(np.quantile(shares, 0.95))

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """Share of images outside."""
        return within(_share_outside(candidate.spectra, reference.spectra), None, self.bar)


def _share_outside(spectra: Array, reference: Array) -> float:
    centre, spread = reference.mean(0), np.maximum(reference.std(0), 1e-6)
    limit = np.quantile(np.abs((reference - centre) / spread).max(axis=1), 0.95)
    return float((np.abs((spectra - centre) / spread).max(axis=1) > limit).mean())


@dataclass
class IntensityCheck:
    """Wasserstein-1 distance of the grey values as near as real is to real in 99%; of a label's where one is named."""

    pool: Measured
    splits: Sequence[Split]
    value: int | None = None
    label: str = ""
    name: str = claims.INTENSITY
    must_reject: tuple[str, ...] = claims.CLAIMS[claims.INTENSITY]
    looks_at: tuple[str, ...] = ("images",)
    bar: float = field(init=False)

    def __post_init__(self) -> None:
        self.looks_at = ("images",) if self.value is None else ("images", "labels")
        column = self._of(self.pool)
        gaps = on_splits(lambda first, second: wasserstein(column[first], column[second]), self.splits)
        self.bar = float(np.quantile(gaps, 0.99)) if np.isfinite(gaps).all() else float("nan")

    def _of(self, images: Measured) -> Array:
        return images.intensity[self.value]

    def __call__(self, candidate: Measured, reference: Measured) -> Outcome:
        """The distance, in units of the images, with quantiles of both sides."""
        sides = self._of(candidate), self._of(reference)
        counts = [int(np.isfinite(side[:, 0]).sum()) for side in sides]
        if not np.isfinite(self.bar) or counts[1] < LEAST_WITH_LABEL:
            reason = f"fewer than {LEAST_WITH_LABEL} real images have the label in some draw"
            return Outcome(None, None, None, None, {"reason": reason})
        if counts[0] < LEAST_WITH_LABEL:
            reason = f"fewer than {LEAST_WITH_LABEL} synthetic images have the label"
            return Outcome(None, None, self.bar, False, {"reason": reason})
        names = [f"{level:.0%}" for level in SHOWN]
        first, second = (dict(zip(names, pooled_quantiles(side).tolist(), strict=True)) for side in sides)
        return within(wasserstein(*sides), None, self.bar, synthetic=first, real=second)


@dataclass
class DiversityCheck:
    """Mean MS-SSIM of pairs as far from the reals' as chance explains (two-sided, 95%)."""

    name: str = claims.DIVERSITY
    must_reject: tuple[str, ...] = claims.CLAIMS[claims.DIVERSITY]
    looks_at: tuple[str, ...] = ("images",)

    def __call__(self, candidate: Diversity, reference: Diversity) -> Outcome:
        """Difference of the means beside 1.96 standard errors of it."""
        gap = candidate.mean - reference.mean
        bar = Z * float(np.hypot(candidate.error, reference.error))
        detail = {"synthetic_mean": candidate.mean, "synthetic_error": candidate.error, "pairs": candidate.pairs}
        detail |= {"real_mean": reference.mean, "real_error": reference.error}
        return Outcome(gap, -bar, bar, abs(gap) <= bar, detail)


class Alike:
    """MS-SSIM of a few images a side: real pairs once, then those of each candidate."""

    def __init__(self, pool: ImageSet, here: Split, value_range: tuple[float, float]) -> None:
        self._range = value_range
        self._reference = self._of(pool.take(here.second))
        self._mixed = pool.take(np.concatenate([_few(here.first), _few(here.second)]))

    def _of(self, images: ImageSet) -> Diversity:
        few = images.take(_few(np.arange(len(images.images))))
        return diversity(pairwise_ms_ssim(few.images, *self._range), few.owners.tolist())

    def judge(self, images: ImageSet) -> Outcome:
        """The images against the reference."""
        return DiversityCheck()(self._of(images), self._reference)

    def certainty(self, outcome: Outcome) -> Certainty:
        """The jackknife's interval by patient: as wide as the bar, around the value."""
        if outcome.value is None or outcome.high is None:
            return Certainty(None, {})
        return Certainty((outcome.value - outcome.high, outcome.value + outcome.high), {})

    def real_draws(self, draws: int) -> list[Outcome]:
        """Random halves of real patients against the other half."""
        matrix, owners = pairwise_ms_ssim(self._mixed.images, *self._range), self._mixed.owners
        rng, patients, found = np.random.default_rng(draws), np.unique(self._mixed.owners), []
        for _ in range(draws):
            first = np.isin(owners, rng.permutation(patients)[: len(patients) // 2])
            halves = [diversity(matrix[np.ix_(half, half)], owners[half].tolist()) for half in (first, ~first)]
            found.append(DiversityCheck()(*halves))
        return found


def _few(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most MOST_IN_PAIRS of the rows, evenly spaced: images may come class by class."""
    kept: NDArray[np.intp] = rows[np.linspace(0, len(rows) - 1, min(MOST_IN_PAIRS, len(rows))).round().astype(int)]
    return kept
