"""The verdict over all lines of a group: is the worst of them worse than the worst of a real draw is by chance?"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from medsynth.evidence.checks import Outcome

LEVEL = 0.95
"""Share of real draws whose worst line is within the bar."""


class Together(NamedTuple):
    """All measurable lines of a group and channel as one (single-step max-T, Westfall and Young 1993).

    A line's excess is its value's distance from the median of the real draws, in distances from there to the line's
    bar: 1 is at the bar. Where the bar is nearer than their standard deviation, that takes its place. The worst excess
    of the samples stands beside the same of every real draw.

    Args:
        value: worst excess of the samples; worst: the line it is of, by key.
        bar: what 95% of the real draws' worst excesses are within, at least 1.
        real: worst excess of every real draw, sorted.
        controls: worst excess of every bad case.
        verdict: "not measurable" where no line can be measured.
    """

    value: float
    worst: str
    bar: float
    real: list[float]
    controls: dict[str, float]
    verdict: Literal["met", "missed", "not measurable"]

    def let_through(self) -> list[str]:
        """Bad cases that are within the bar."""
        return [name for name, value in self.controls.items() if value <= self.bar]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; of the real draws the quantiles 5%, 50% and 95%."""
        quantiles = dict(
            zip(("5%", "50%", "95%"), np.quantile(self.real, (0.05, 0.5, 0.95), method="higher").tolist(), strict=True)
        )
        return {**self._asdict(), "real": quantiles}


def judge_together(
    own: Mapping[str, Outcome],
    real: Mapping[str, Sequence[Outcome]],
    bad_cases: Mapping[str, Mapping[str, Outcome]],
    keys: Collection[str],
) -> Together:
    """One verdict from the outcomes of many checks.

    Args:
        own: outcomes of the samples by key of the check.
        real: outcomes of each check on the real draws, as many for each.
        bad_cases: outcomes of every bad case.
        keys: of the checks that are measurable; the others do not count.
    """
    typical = {key: _typical(real[key]) for key in keys}
    draws = len(next(iter(real.values())))
    worst = [_worst({key: real[key][draw] for key in keys}, typical)[0] for draw in range(draws)]
    bar = max(1.0, float(np.quantile(worst, LEVEL, method="higher")))
    value, name = _worst({key: own[key] for key in keys}, typical)
    controls = {
        case: _worst({k: o for k, o in of.items() if k in typical}, typical)[0] for case, of in bad_cases.items()
    }
    verdict: Literal["met", "missed", "not measurable"] = "met" if value <= bar else "missed"
    return Together(value, name, bar, sorted(worst), controls, verdict if keys else "not measurable")


class Typical(NamedTuple):
    """Median and standard deviation of a line's value between real draws."""

    middle: float
    spread: float


def excess(outcome: Outcome, typical: Typical) -> float:
    """How far a value is from the middle of real draws, 1 at the bar; 0 where there is no value and no miss.

    Infinite where a value is missing and missed, or beyond a bar at which all real draws are.
    """
    if outcome.passed is None or outcome.value is None or not np.isfinite(outcome.value):
        return np.inf if outcome.passed is False else 0.0
    above = outcome.value >= typical.middle
    bar = outcome.high if above else outcome.low
    if bar is None or outcome.value == typical.middle:
        return 0.0
    room = max(bar - typical.middle if above else typical.middle - bar, typical.spread)
    return abs(outcome.value - typical.middle) / room if room > 0 else np.inf


def _worst(outcomes: Mapping[str, Outcome], typical: Mapping[str, Typical]) -> tuple[float, str]:
    """The largest excess and whose it is; 0 and "" where there is none."""
    found = [(float(excess(outcome, typical[key])), key) for key, outcome in outcomes.items()]
    return max(found, default=(0.0, ""), key=lambda pair: pair[0])


def _typical(outcomes: Sequence[Outcome]) -> Typical:
    values = [o.value for o in outcomes if o.value is not None and np.isfinite(o.value)]
    return Typical(float(np.median(values)), float(np.std(values))) if values else Typical(0.0, 0.0)
