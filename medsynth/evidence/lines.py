"""The lines of a verdict: a check's value on the samples beside its bar, interval, real draws and bad cases."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from medsynth.evidence.checks import Certainty, Check, Outcome
from medsynth.evidence.image_checks import DiversityCheck
from medsynth.evidence.measurements import Measured
from medsynth.metrics.intervals import around, jackknife_error, share_interval

Verdict = Literal["met", "missed", "not measurable"]
REAL_SHARE = 0.8
"""Share of real-against-real draws that a check has to let pass."""
BLOCKS = 20
"""Groups of patients a side that leave one after the other for the interval of a line."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One verdict: what was asked, what came out, and whether the check could have told.

    Args:
        check: name of the metric; features: the extractor it is on, or ""; subject: the label it is about, or "".
        verdict: "met", "missed" or "not measurable".
        value: of the samples; low, high: the bar, None where open.
        interval: 95% of the value, by patient; None where there is none.
        real_against_real: quantiles 5%, 50% and 95% of the value between real draws of the same sizes, or None.
        real_passes: share of real-against-real draws that pass.
        controls: the bad cases that must be rejected, and the value that each got.
        reason: why it is not measurable, or "".
        detail: what else the metric says.
    """

    check: str
    features: str
    subject: str
    verdict: Verdict
    value: float | None
    low: float | None
    high: float | None
    interval: tuple[float, float] | None
    real_against_real: Mapping[str, float] | None
    real_passes: float
    controls: Mapping[str, float | None]
    reason: str
    detail: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def key_of(check: Check | DiversityCheck) -> str:
    """Name of a check with what it is about: "MMD on haar", "contrast: liver"."""
    features, label = getattr(check, "features", ""), getattr(check, "label", "")
    return check.name + (f" on {features}" if features else "") + (f": {label}" if label else "")


def judge(checks: Sequence[Check], candidate: Measured, reference: Measured) -> dict[str, Outcome]:
    """The outcome of every check, by key."""
    return {key_of(check): check(candidate, reference) for check in checks}


def certainty_of(check: Check, candidate: Measured, reference: Measured, permutations: int) -> Certainty:
    """The check's own interval, else the jackknife's: patients leave in at most 20 groups a side."""
    own = getattr(check, "certainty", None)
    if own is not None:
        found: Certainty = own(candidate, reference, permutations)
        return found
    outcome = check(candidate, reference)
    if outcome.value is None or not np.isfinite(outcome.value):
        return Certainty(None, {})

    def value(first: Any, second: Any) -> float:
        found = check(candidate.take(first), reference.take(second)).value
        return float("nan") if found is None else found

    error = jackknife_error(value, candidate.owners, reference.owners, blocks=BLOCKS)
    if getattr(check, "share", False):
        interval = share_interval(outcome.value, error, len(np.unique(candidate.owners)))
    else:
        interval = around(outcome.value, error)
    return Certainty((interval.low, interval.high), {})


def make_line(
    check: Check | DiversityCheck,
    own: Outcome,
    certainty: Certainty,
    real: Sequence[Outcome],
    bad_cases: Mapping[str, Mapping[str, Outcome]],
) -> Line:
    """The verdict of one check.

    Args:
        check: the check.
        own: its outcome on the samples; certainty: of that.
        real: its outcomes on real draws.
        bad_cases: outcomes of every bad case, by check.
    """
    key = key_of(check)
    passes = passing(real)
    found = {name: bad_cases.get(name, {}).get(key) for name in check.must_reject}
    let_through = [name for name, control in found.items() if control is None or control.passed is not False]
    reason = str(own.detail.get("reason", ""))
    verdict: Verdict = "met" if own.passed else "missed"
    if own.passed is None:
        verdict = "not measurable"
    elif passes < REAL_SHARE:
        share = f"real against real passes in {passes:.0%} of the draws only"
        verdict, reason = "not measurable", f"{share}; {reason}" if reason else share
    elif let_through:
        verdict, reason = "not measurable", f"at this size it does not reject: {', '.join(let_through)}"
    return Line(
        check=check.name,
        features=getattr(check, "features", ""),
        subject=getattr(check, "label", ""),
        verdict=verdict,
        value=own.value,
        low=own.low,
        high=own.high,
        interval=certainty.interval,
        real_against_real=_floor(check, real),
        real_passes=passes,
        controls={name: control.value if control else None for name, control in found.items()},
        reason=reason,
        detail={name: value for name, value in own.detail.items() if name != "reason"} | certainty.detail,
    )


def passing(outcomes: Sequence[Outcome]) -> float:
    """Share of the outcomes that pass."""
    return float(np.mean([bool(outcome.passed) for outcome in outcomes])) if outcomes else 0.0


def _floor(check: Check | DiversityCheck, real: Sequence[Outcome]) -> dict[str, float] | None:
    """Quantiles of real against real: of the splits behind the bar where the check keeps them, else of the draws."""
    values = getattr(check, "null", None)
    if values is None:
        values = np.array([outcome.value for outcome in real if outcome.value is not None])
    if not len(values):
        return None
    return dict(zip(("5%", "50%", "95%"), np.quantile(values, (0.05, 0.5, 0.95)).tolist(), strict=True))
