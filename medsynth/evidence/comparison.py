"""Synthetic against real, with the real-against-real case and the bad cases judged by the same checks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from medsynth.evidence.anatomy_checks import anatomy_checks
from medsynth.evidence.checks import Check, Outcome, label_checks
from medsynth.evidence.claims import DIVERSITY
from medsynth.evidence.curves import make_curves
from medsynth.evidence.feature_checks import MMDCheck, feature_checks
from medsynth.evidence.image_checks import Alike, DiversityCheck, IntensityCheck, SingleSpectraCheck, SpectrumCheck
from medsynth.evidence.lines import REAL_SHARE, Line, Verdict, certainty_of, judge, key_of, make_line, passing
from medsynth.evidence.measurements import Frame, Measured, measure
from medsynth.evidence.together import Together, judge_together
from medsynth.metrics import controls as bad
from medsynth.metrics.controls import ImageSet, controls
from medsynth.metrics.label_controls import label_controls
from medsynth.metrics.spectrum import radial_log_spectrum
from medsynth.metrics.splits import Split

__all__ = ["DIVERSITY", "REAL_DRAWS", "REAL_SHARE", "Compared", "Draws", "Line", "Verdict", "compare"]
REAL_DRAWS = 40
"""Real-against-real draws that every check has to pass in at least REAL_SHARE."""


class Compared(NamedTuple):
    """All verdicts of one group and channel.

    `rejected_by`: of every bad case, the checks that reject it; `together`: all lines as one; `curves`: plain JSON,
    what figures draw.
    """

    lines: list[Line]
    rejected_by: dict[str, list[str]]
    outcomes: dict[str, dict[str, Outcome]]
    together: Together
    curves: dict[str, Any]
    frame: Frame
    here: Split


class Draws(NamedTuple):
    """Real splits by use: `real`, the draws that must pass and that controls are made from; `null`, for the bars."""

    real: list[Split]
    null: list[Split]


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
        frame: features and bandwidths, fixed on real training images.
        draws: splits of the pool by patient.
        permutations: of the p of MMD and of the classifier.
        seed: of all chance here.
        shape_checks: judge volume, connectivity, presence and anatomy (once, not for every channel).
        more_controls: bad cases beyond those of `medsynth.metrics.controls`.
        step: called with a word before each part, for a progress bar.
    """
    step("real")
    measured = measure(pool, frame)
    checks = make_checks(frame, measured, pool, draws.null, shape_checks=shape_checks, seed=seed)
    real, here = _real_draws(checks, measured, draws.real)
    reference = measured.take(here.second)
    alike = Alike(pool, here, frame.value_range)
    real[DIVERSITY] = alike.real_draws(len(draws.real))
    step("samples")
    own = measure(samples, frame)
    outcome = judge(checks, own, reference) | {DIVERSITY: alike.judge(samples)}
    certain = {key_of(check): certainty_of(check, own, reference, permutations) for check in checks}
    certain[DIVERSITY] = alike.certainty(outcome[DIVERSITY])
    material = pool.take(here.first)
    cases = bad_cases(material, measured.take(here.first), frame, seed) | dict(more_controls or {})
    if shape_checks and measured.anatomy is not None:
        cases |= label_controls(material, tuple(frame.labels), frame.spacing, np.random.default_rng(seed + 3))
    every: list[Check | DiversityCheck] = [*checks, DiversityCheck()]
    outcomes, found = {}, {}
    for name, case in cases.items():
        step(name)
        found[name] = measure(case, frame)
        changed = {part for part in ("images", "labels") if getattr(case, part) is not getattr(material, part)}
        judged = judge(checks, found[name], reference)
        if "images" in changed:
            judged[DIVERSITY] = alike.judge(case)
        outcomes[name] = {key_of(c): judged[key_of(c)] for c in every if changed.intersection(c.looks_at)}
    lines = [make_line(c, outcome[key_of(c)], certain[key_of(c)], real[key_of(c)], outcomes) for c in every]
    rejected = {
        name: [key for key, o in of.items() if o.passed is False and passing(real[key]) >= REAL_SHARE]
        for name, of in outcomes.items()
    }
    measurable = [key_of(c) for c, line in zip(every, lines, strict=True) if line.verdict != "not measurable"]
    together = judge_together(outcome, real, outcomes, measurable)
    spectrum = next(check for check in checks if isinstance(check, SpectrumCheck))
    mmds = [check for check in checks if isinstance(check, MMDCheck)]
    curves = make_curves(frame, spectrum, mmds, own, reference, found, outcomes, outcome)
    return Compared(lines, rejected, outcomes, together, curves, frame, here)


def make_checks(
    frame: Frame, measured: Measured, pool: ImageSet, splits: Sequence[Split], *, shape_checks: bool, seed: int
) -> list[Check]:
    """Every check but that of diversity, with its bar from the splits."""
    frequencies = radial_log_spectrum(pool.images[:1], frame.spacing).frequencies
    checks: list[Check] = []
    for name, fixed in frame.features.items():
        checks.extend(feature_checks(name, fixed, measured, splits, seed))
    checks += [SpectrumCheck(measured, splits, frequencies), SingleSpectraCheck(measured, splits)]
    checks.append(IntensityCheck(measured, splits))
    for value, label in frame.labels.items() if measured.labels else ():
        checks.append(IntensityCheck(measured, splits, value, label))
        checks.extend(label_checks(value, label, measured, splits, shape=shape_checks))
    checks.extend(anatomy_checks(frame.labels, measured, splits) if shape_checks else ())
    return checks


def bad_cases(material: ImageSet, measured: Measured, frame: Frame, seed: int) -> dict[str, ImageSet]:
    """Every bad case made from real images, by name.

    Args:
        material: real images; measured: the same.
        frame: of the comparison; the first extractor says what a mode is.
        seed: of all chance.
    """
    rng = np.random.default_rng(seed + 1)
    made = controls(material, frame.spacing, frame.value_range, rng)
    first = next(iter(frame.features))
    return made | {bad.DROPPED: bad.dropped_mode(material, measured.features[first], rng)}


def _real_draws(
    checks: Sequence[Check], pool: Measured, splits: Sequence[Split]
) -> tuple[dict[str, list[Outcome]], Split]:
    """The outcomes of each check on real against real, and the first draw that passes them all.

    That draw gives the reference and the material of the bad cases, so that what is rejected is
    rejected for what was done to it. Where no draw passes all, that with the fewest misses is taken.
    """
    judged = [judge(checks, pool.take(split.first), pool.take(split.second)) for split in splits]
    misses = [sum(outcome.passed is False for outcome in of.values()) for of in judged]
    return {key: [of[key] for of in judged] for key in judged[0]}, splits[int(np.argmin(misses))]
