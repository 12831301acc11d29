"""All lines as one: the share of good samples that it lets pass, and of bad ones."""

import numpy as np
import pytest

from medsynth.evidence.checks import within
from medsynth.evidence.together import Typical, excess, judge_together


@pytest.mark.parametrize(
    ("value", "low", "high", "wanted"),
    [
        (1.0, None, 1.0, 1.0),
        (2.0, None, 1.0, 2.0),
        (-5.0, None, 1.0, 0.0),
        (-0.5, -1.0, 2.0, 0.5),
        (0.0, None, 0.0, 0.0),
    ],
)
def test_excess_counts_in_distances_from_the_typical_value_to_the_bar(value, low, high, wanted):
    assert excess(within(value, low, high), Typical(0.0, 0.1)) == pytest.approx(wanted)


def test_a_value_beyond_a_bar_at_which_all_reals_are_is_infinitely_far():
    still = Typical(0.0, 0.0)
    assert excess(within(0.1, None, 0.0), still) == np.inf
    assert excess(within(float("nan"), None, 1.0)._replace(passed=False), still) == np.inf
    assert excess(within(0.0, None, 1.0)._replace(passed=None, value=None), still) == 0.0


def test_a_bar_at_the_typical_value_does_not_let_everything_pass():
    some = [within(1.0 if draw < 4 else 0.0, None, 0.0) for draw in range(40)]
    found = judge_together({"a": within(9.0, None, 0.0)}, {"a": some}, {}, ["a"])
    assert found.verdict == "missed"
    assert np.isfinite(found.bar)


def lines(rng, checks, shift=0.0):
    """Outcomes of so many independent checks whose one-sided bar lets 95% of good samples pass."""
    values = rng.normal(0, 1, checks)
    values[0] += shift
    return {f"check {i}": within(float(v), None, 1.645) for i, v in enumerate(values)}


def verdicts(checks, shift=0.0, trials=200):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(trials):
        draws = [lines(rng, checks) for _ in range(40)]
        real = {key: [draw[key] for draw in draws] for key in draws[0]}
        found.append(judge_together(lines(rng, checks, shift), real, {"bad": lines(rng, checks, 8.0)}, list(real)))
    return found


@pytest.mark.parametrize("checks", [1, 10, 60])
def test_good_samples_meet_it_in_95_of_100_however_many_lines_there_are(checks):
    found = verdicts(checks)
    share = np.mean([one.verdict == "met" for one in found])
    assert share == pytest.approx(0.95, abs=0.045)  # 200 trials, and 40 draws that the bar is from
    assert not any(one.let_through() for one in found)
    assert all(one.bar >= 1 for one in found)


def test_one_fault_among_many_lines_is_missed_and_named():
    found = verdicts(60, shift=8.0)
    assert np.mean([one.verdict == "missed" for one in found]) > 0.95
    assert np.mean([one.worst == "check 0" for one in found]) > 0.95


def test_lines_that_are_not_measurable_do_not_count():
    good, bad = within(0.0, None, 1.0), within(9.0, None, 1.0)
    own, real = {"a": good, "b": bad}, {"a": [good] * 40, "b": [good] * 40}
    assert judge_together(own, real, {}, ["a", "b"]).worst == "b"
    assert judge_together(own, real, {"c": {"b": bad}}, ["a"]).let_through() == ["c"]
    assert judge_together(own, real, {}, ["a"]).verdict == "met"
    assert judge_together(own, real, {}, []).verdict == "not measurable"
