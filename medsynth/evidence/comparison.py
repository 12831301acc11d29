"""Synthetic against real, with the real-against-real case and the bad cases judged by the same checks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence.checks import Check, MMDCheck, Outcome, SingleSpectraCheck, SpectrumCheck, label_checks
from medsynth.evidence.measurements import Frame, Measured, measure
from medsynth.metrics import controls as bad
from medsynth.metrics.controls import ImageSet, controls
from medsynth.metrics.diversity import Diversity, diversity, pairwise_ms_ssim
from medsynth.metrics.features import FeatureSpace
from medsynth.metrics.spectrum import radial_log_spectrum
from medsynth.metrics.splits import Split

Verdict = Literal["met", "missed", "not measurable"]
REAL_DRAWS = 40
"""Real-against-real draws that every check has to pass in at least REAL_SHARE."""
REAL_SHARE = 0.8
MOST_IN_PAIRS = 32
"""Images a side whose pairs MS-SSIM looks at."""
DIVERSITY = "MS-SSIM diversity"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One verdict: what was asked, what came out, and whether the check could have told.

    Args:
        check: name of the metric; subject: the label it is about, or "".
        verdict: "met", "missed" or "not measurable".
        value: of the samples; low, high: the bar, None where open.
        real_passes: share of real-against-real draws that pass.
        controls: the bad cases that must be rejected, and the value that each got.
        reason: why it is not measurable, or "".
        detail: what else the metric says.
    """

    check: str
    subject: str
    verdict: Verdict
    value: float | None
    low: float | None
    high: float | None
    real_passes: float
    controls: Mapping[str, float | None]
    reason: str
    detail: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


class Curves(NamedTuple):
    """What the figures draw; not part of the JSON."""

    frequencies: NDArray[np.float64]
    real_spectrum: NDArray[np.float64]
    band: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    control_spectra: dict[str, NDArray[np.float64]]
    mmd_null: NDArray[np.float64]
    mmd: float
    control_mmd: dict[str, float]
    volumes: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    here: Split


class Compared(NamedTuple):
    """All verdicts of one group and channel; `rejected_by`: of every bad case, the checks that reject it."""

    lines: list[Line]
    rejected_by: dict[str, list[str]]
    outcomes: dict[str, dict[str, Outcome]]
    curves: Curves
    features: FeatureSpace


class Draws(NamedTuple):
    """Real splits by use: `real`, the draws that must pass and that controls are made from; `null`, for the bars."""

    real: list[Split]
    null: list[Split]


@dataclass
class DiversityCheck:
    """Mean MS-SSIM of pairs as far from the reals' as chance explains (two-sided, 95%)."""

    name: str = DIVERSITY
    must_reject: tuple[str, ...] = (bad.REPEATED,)
    looks_at: tuple[str, ...] = ("images",)

    def __call__(self, candidate: Diversity, reference: Diversity) -> Outcome:
        """Difference of the means beside 1.96 standard errors of it."""
        gap = candidate.mean - reference.mean
        bar = 1.96 * float(np.hypot(candidate.error, reference.error))
        detail = {"synthetic_mean": candidate.mean, "synthetic_error": candidate.error, "pairs": candidate.pairs}
        detail |= {"real_mean": reference.mean, "real_error": reference.error}
        return Outcome(gap, -bar, bar, abs(gap) <= bar, detail)


def compare(
    samples: ImageSet,
    pool: ImageSet,
    frame: Frame,
    draws: Draws,
    *,
    permutations: int = 999,
    seed: int = 0,
    shape_checks: bool = True,
    more_controls: Mapping[str, ImageSet] | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> Compared:
    """Judge samples, real draws and bad cases of the same size by every check.

    Args:
        samples: as many as the first group of a split.
        pool: real images on the same grid.
        frame: features and bandwidth, fixed on real training images.
        draws: splits of the pool by patient.
        permutations: of the MMD's p.
        seed: of all chance here.
        shape_checks: judge volume, connectivity and presence (once, not for every channel).
        more_controls: bad cases beyond those of `medsynth.metrics.controls`.
        step: called with a word before each part, for a progress bar.
    """
    step("real")
    measured = measure(pool, frame)
    frequencies = radial_log_spectrum(pool.images[:1], frame.spacing).frequencies
    mmd = MMDCheck(measured, draws.null, frame.features.bandwidth)
    spectrum = SpectrumCheck(measured, draws.null, frequencies)
    checks: list[Check] = [mmd, spectrum, SingleSpectraCheck(measured, draws.null)]
    for value, label in frame.labels.items() if measured.labels else ():
        checks.extend(label_checks(value, label, measured, draws.null, shape=shape_checks))
    passes, here = _real_draws(checks, measured, draws.real)
    reference = measured.take(here.second)
    alike = _Alike(pool, here, frame)
    passes[DIVERSITY] = alike.real_passes(len(draws.real))
    step("samples")
    own = measure(samples, frame)
    outcome = _judge(checks, own, reference) | {DIVERSITY: alike.judge(samples)}
    outcome[mmd.name].detail.update(mmd.certainty(own, reference, permutations, seed))
    every: list[Check | DiversityCheck] = [*checks, DiversityCheck()]
    material = pool.take(here.first)
    value_range = (frame.features.low, frame.features.high)
    cases = controls(material, frame.spacing, value_range, np.random.default_rng(seed + 1)) | dict(more_controls or {})
    outcomes, spectra = {}, {}
    for name, case in cases.items():
        step(name)
        found = measure(case, frame)
        spectra[name] = found.spectra.mean(0)
        changed = {part for part in ("images", "labels") if getattr(case, part) is not getattr(material, part)}
        judged = _judge(checks, found, reference)
        if "images" in changed:
            judged[DIVERSITY] = alike.judge(case)
        outcomes[name] = {_key(c): judged[_key(c)] for c in every if changed.intersection(c.looks_at)}
    lines = [_line(check, outcome, passes, outcomes) for check in every]
    rejected = {
        name: [key for key, o in of.items() if o.passed is False and passes[key] >= REAL_SHARE]
        for name, of in outcomes.items()
    }
    volumes = {frame.labels[v]: (t.volume, reference.labels[v].volume) for v, t in own.labels.items()}
    curves = Curves(
        frequencies,
        reference.spectra.mean(0),
        spectrum.spread * spectrum.factor,
        own.spectra.mean(0),
        spectra,
        mmd.null,
        outcome[mmd.name].value or 0.0,
        {name: of[mmd.name].value or 0.0 for name, of in outcomes.items() if mmd.name in of},
        volumes if shape_checks else {},
        here,
    )
    return Compared(lines, rejected, outcomes, curves, frame.features)


def _key(check: Check | DiversityCheck) -> str:
    label = getattr(check, "label", "")
    return f"{check.name}: {label}" if label else check.name


def _judge(checks: Sequence[Check], candidate: Measured, reference: Measured) -> dict[str, Outcome]:
    return {_key(check): check(candidate, reference) for check in checks}


def _real_draws(checks: Sequence[Check], pool: Measured, splits: Sequence[Split]) -> tuple[dict[str, float], Split]:
    """How often each check lets real against real pass, and the first draw that passes them all.

    That draw gives the reference and the material of the bad cases, so that what is rejected is
    rejected for what was done to it. Where no draw passes all, the first is taken.
    """
    judged = [_judge(checks, pool.take(split.first), pool.take(split.second)) for split in splits]
    passes = {_key(check): float(np.mean([bool(of[_key(check)].passed) for of in judged])) for check in checks}
    clean = [split for split, of in zip(splits, judged, strict=True) if all(o.passed is not False for o in of.values())]
    return passes, (clean or list(splits))[0]


def _line(
    check: Check | DiversityCheck,
    outcome: Mapping[str, Outcome],
    passes: Mapping[str, float],
    bad_cases: Mapping[str, Mapping[str, Outcome]],
) -> Line:
    key = _key(check)
    own, found = outcome[key], {name: bad_cases.get(name, {}).get(key) for name in check.must_reject}
    let_through = [name for name, control in found.items() if control is None or control.passed is not False]
    reason = str(own.detail.get("reason", ""))
    verdict: Verdict = "met" if own.passed else "missed"
    if own.passed is None:
        verdict = "not measurable"
    elif passes[key] < REAL_SHARE:
        share = f"real against real passes in {passes[key]:.0%} of the draws only"
        verdict, reason = "not measurable", f"{share}; {reason}" if reason else share
    elif let_through:
        verdict, reason = "not measurable", f"at this size it does not reject: {', '.join(let_through)}"
    return Line(
        check=check.name,
        subject=getattr(check, "label", ""),
        verdict=verdict,
        value=own.value,
        low=own.low,
        high=own.high,
        real_passes=passes[key],
        controls={name: control.value if control else None for name, control in found.items()},
        reason=reason,
        detail=own.detail,
    )


class _Alike:
    """MS-SSIM of a few images a side: real pairs once, then those of each candidate."""

    def __init__(self, pool: ImageSet, here: Split, frame: Frame) -> None:
        self._range = (frame.features.low, frame.features.high)
        self._reference = self._of(pool.take(here.second))
        self._mixed = pool.take(np.concatenate([_few(here.first), _few(here.second)]))

    def _of(self, images: ImageSet) -> Diversity:
        few = images.take(_few(np.arange(len(images.images))))
        return diversity(pairwise_ms_ssim(few.images, *self._range), few.owners.tolist())

    def judge(self, images: ImageSet) -> Outcome:
        return DiversityCheck()(self._of(images), self._reference)

    def real_passes(self, draws: int) -> float:
        """Share of random halves of real patients that pass against the other half."""
        matrix, owners = pairwise_ms_ssim(self._mixed.images, *self._range), self._mixed.owners
        rng, patients, passed = np.random.default_rng(draws), np.unique(self._mixed.owners), []
        for _ in range(draws):
            first = np.isin(owners, rng.permutation(patients)[: len(patients) // 2])
            halves = [diversity(matrix[np.ix_(half, half)], owners[half].tolist()) for half in (first, ~first)]
            passed.append(bool(DiversityCheck()(*halves).passed))
        return float(np.mean(passed))


def _few(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most MOST_IN_PAIRS of the rows, evenly spaced: images may come class by class."""
    kept: NDArray[np.intp] = rows[np.linspace(0, len(rows) - 1, min(MOST_IN_PAIRS, len(rows))).round().astype(int)]
    return kept
