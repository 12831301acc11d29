"""From outcomes to scores with intervals, differences, and the verdict of a row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsynth.evidence.utility import arms
from medsynth.evidence.utility.folders import LEAST
from medsynth.evidence.utility.tasks import Task
from medsynth.metrics.nested_bootstrap import NestedInterval, Sizes, nested_bootstrap

Array = NDArray[np.float64]
Verdict = Literal["met", "missed", "not measurable"]
LEAST_DRAWS = 3
LEAST_SEEDS = 2
HEADLINE = (arms.MIXED, arms.AUGMENTED)
DIFFERENCES = (
    HEADLINE,
    (arms.MIXED_AUGMENTED, arms.AUGMENTED),
    (arms.MIXED, arms.REAL),
    (arms.SYNTHETIC, arms.REAL),
    (arms.AUGMENTED, arms.REAL),
)


class Outcomes(NamedTuple):
    """Outcomes of all arms of a row, (D, S, N, K) each, on test images with their truth (N, ...) and owners (N,)."""

    outcomes: Mapping[str, Array]
    truth: NDArray[np.integer]
    owners: NDArray[np.str_]


@dataclass(frozen=True)
class Difference:
    """One arm less another, with the same test patients: value, 95% interval, and what was asked of it.

    `must` is "be above 0", "be below 0", "not be above 0" or "" (shown only); `holds` whether it is so.
    """

    first: str
    second: str
    interval: NestedInterval
    must: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the interval is as it must; None where nothing is asked."""
        low, high = self.interval.low, self.interval.high
        asked = {"be above 0": low > 0, "be below 0": high < 0, "not be above 0": low <= 0}
        return asked.get(self.must)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        content = {**asdict(self), "interval": interval_json(self.interval), "holds": self.holds}
        return content


def interval_json(interval: NestedInterval) -> dict[str, Any]:
    """Plain JSON types; infinite degrees of freedom are None."""
    freedom = interval.freedom if np.isfinite(interval.freedom) else None
    return {**interval._asdict(), "freedom": freedom, "parts": dict(interval.parts)}


class Judged(NamedTuple):
    """A row's verdict with its reason, scores by arm and by part of an arm, differences and controls."""

    verdict: Verdict
    reason: str
    scores: dict[str, NestedInterval]
    by_part: dict[str, dict[str, NestedInterval]]
    differences: list[Difference]
    controls: list[Difference]


def judge(tested: Outcomes, task: Task, whole: bool, known: bool, resamples: int, seed: int) -> Judged:
    """Score every arm, take the differences, and ask the controls whether the verdict may be believed.

    Args:
        tested: outcomes of the row.
        task: scores them.
        whole: whether the row has all patients that are not held out.
        known: whether it is known what every generator saw.
        resamples, seed: of the bootstrap.
    """
    patients, of_image = np.unique(tested.owners, return_inverse=True)
    images = np.bincount(of_image)
    draws, seeds = next(iter(tested.outcomes.values())).shape[:2]
    sizes = Sizes(draws, seeds, len(patients))

    def table(arm: str, part: int | None, weights: Array) -> Array:
        """Scores (R, D, S) with patients counted `weights` (R, P) times, each by the mean of its images."""
        of_images = weights[:, of_image] / images[of_image]
        outcomes = tested.outcomes[arm]
        found = np.empty((len(weights), draws, seeds))
        for draw in range(draws):
            for number in range(seeds):
                scores = task.scores(outcomes[draw, number], tested.truth, of_images)
                found[:, draw, number] = scores.mean(1) if part is None else scores[:, part]
        return found

    def interval(score: Callable[[Array], Array]) -> NestedInterval:
        return nested_bootstrap(score, sizes, resamples=resamples, seed=seed)

    def difference(first: str, second: str, must: str = "") -> Difference:
        between = interval(lambda weights: table(first, None, weights) - table(second, None, weights))
        return Difference(first, second, between, must)

    scores = {arm: interval(lambda weights, arm=arm: table(arm, None, weights)) for arm in tested.outcomes}  # type: ignore[misc]
    by_part = {
        arm: {
            name: interval(lambda weights, arm=arm, part=part: table(arm, part, weights))  # type: ignore[misc]
            for part, name in enumerate(task.parts)
        }
        for arm in tested.outcomes
    }
    differences = [difference(*pair, "be above 0" if pair == HEADLINE else "") for pair in DIFFERENCES]
    upper = (arms.REAL, arms.HALF) if whole else (arms.MORE, arms.REAL)
    controls = [
        difference(*upper, "be above 0"),
        difference(arms.AGAIN, arms.AUGMENTED, "not be above 0"),
        difference(arms.SHUFFLED, arms.AUGMENTED, "not be above 0"),
        difference(arms.SHUFFLED, arms.MIXED, "be below 0"),
        difference(arms.REPEATED, arms.AUGMENTED, "not be above 0"),
    ]
    reasons = _reasons(sizes, known, controls)
    verdict: Verdict = "not measurable" if reasons else "met" if differences[0].holds else "missed"
    return Judged(verdict, "; ".join(reasons), scores, by_part, differences, controls)


def _reasons(sizes: Sizes, known: bool, controls: Sequence[Difference]) -> list[str]:
    """Why the headline says nothing at this size; empty where it does."""
    reasons = []
    if sizes.draws < LEAST_DRAWS:
        reasons.append(f"{sizes.draws} draws, {LEAST_DRAWS} are the least")
    if sizes.seeds < LEAST_SEEDS:
        reasons.append(f"{sizes.seeds} seeds, {LEAST_SEEDS} are the least")
    if sizes.patients < LEAST:
        reasons.append(f"{sizes.patients} tested patients, {LEAST} are the least")
    if not known:
        reasons.append("what the generators saw is not known: name their runs in runs")
    reasons += [f"'{c.first}' less '{c.second}' must {c.must} and does not" for c in controls if not c.holds]
    return [reason.replace("must not be above 0 and does not", "must not be above 0 and is") for reason in reasons]
