"""A check that could not have told gives no verdict: reals that pass too seldom, a bad case that is let through."""

import numpy as np
import pytest

from medsynth.evidence.checks import Certainty, Outcome, VolumeMeanCheck
from medsynth.evidence.comparison import REAL_SHARE, Compared, Draws, compare
from medsynth.evidence.lines import make_line
from medsynth.evidence.measurements import fit_frame
from medsynth.metrics import controls as bad
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import HaarPlan
from medsynth.metrics.splits import Sizes, patient_splits

COUNT, SIDE = 8, 12
SPREAD, CONNECTED = "volume, SD ratio: front", "connectivity: front"


def bands(widths: list[int], owner: str) -> ImageSet:
    """Label 1 is the first `width` columns, label 2 the rest: no background for a label to grow into."""
    rng = np.random.default_rng(len(widths))
    labels = np.stack([np.where(np.arange(SIDE) < width, 1, 2) * np.ones((SIDE, 1), int) for width in widths])
    owners = np.array([f"{owner}{row}" for row in range(len(widths))])
    return ImageSet(100.0 * labels + rng.normal(0, 5, labels.shape), labels, owners)


def compared(pool: list[int], samples: list[int]) -> Compared:
    real = bands(pool, "patient")
    frame = fit_frame({"haar": HaarPlan()}, real, (1.0, 1.0), {1: "front"})
    splits = patient_splits(real.owners.tolist(), Sizes(COUNT, 4 * COUNT), 80, np.random.default_rng(0))
    return compare(bands(samples, "sample"), real, frame, Draws(splits[:40], splits[40:]), permutations=9)


@pytest.fixture(scope="module")
def alike() -> Compared:
    """Of the reals as of the samples, one in eight is narrower and one wider."""
    return compared([6] * 30 + [4] * 5 + [8] * 5, [6] * 6 + [4, 8])


def lines(result: Compared) -> dict[str, tuple[str, str]]:
    return {f"{line.check}: {line.subject}": (line.verdict, line.reason) for line in result.lines}


def test_a_check_that_reals_pass_too_seldom_gives_no_verdict(alike) -> None:
    """Two of eight volumes make their spread: in half of the draws it is not that of the other reals."""
    (line,) = (line for line in alike.lines if line.check == "volume, SD ratio")
    assert line.low <= line.value <= line.high
    assert line.real_passes < REAL_SHARE
    assert line.controls == {bad.REPEATED: 0.0}
    assert line.verdict == "not measurable"
    assert line.reason == f"real against real passes in {line.real_passes:.0%} of the draws only"


def test_a_check_that_reals_pass_too_seldom_rejects_no_bad_case(alike) -> None:
    assert alike.outcomes[bad.REPEATED][SPREAD].passed is False
    assert SPREAD not in alike.rejected_by[bad.REPEATED]
    assert "presence: front" in alike.rejected_by[bad.LOST]


def test_a_check_that_lets_its_bad_case_through_gives_no_verdict(alike) -> None:
    """A voxel of the label away from it would be of the background, and there is none."""
    found = alike.outcomes[bad.SPECKS][CONNECTED]
    assert found.passed is True
    assert lines(alike)[CONNECTED] == ("not measurable", f"at this size it does not reject: {bad.SPECKS}")


def test_a_check_that_could_tell_gives_its_verdict(alike) -> None:
    assert lines(alike)["presence: front"] == ("met", "")
    absent = compared([6] * 40, [6] * 4 + [0] * 4)
    assert lines(absent)["presence: front"] == ("missed", "")


@pytest.mark.parametrize(("draws", "verdict"), [(32, "met"), (31, "not measurable")])
def test_reals_pass_in_four_of_five_of_the_40_draws(draws, verdict) -> None:
    check, own, grown = VolumeMeanCheck(1, "front"), Outcome(0.0, -0.05, 0.05, True, {}), {}
    grown[bad.GROWN] = {"volume, mean: front": Outcome(0.3, -0.05, 0.05, False, {})}
    real = [own._replace(passed=draw < draws) for draw in range(40)]
    line = make_line(check, own, Certainty(None, {}), real, grown)
    assert line.verdict == verdict
