import numpy as np
import pytest

from benchmarks.verdict import REAL, Found, Interval, Row, difference, unfit, wilson


def share(hits, n):
    return wilson(np.arange(n) < hits, np.arange(n).astype(str))


def test_wilson_is_that_of_newcombe_1998():
    # "Two-sided confidence intervals for the single proportion", table I, method 3
    assert share(81, 263) == pytest.approx((81 / 263, 0.2553, 0.3662), abs=5e-5)
    assert share(0, 20) == pytest.approx((0, 0, 0.1611), abs=5e-5)


def test_difference_is_that_of_newcombe_1998():
    # "Interval estimation for the difference between independent proportions", table II, method 10
    assert difference(share(56, 70), share(48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert difference(share(10, 10), share(0, 10)) == pytest.approx((1, 0.6075, 1), abs=5e-5)


def test_a_patients_further_images_tell_nothing():
    twice = wilson(np.repeat(np.arange(50) < 40, 2), np.repeat(np.arange(50), 2).astype(str))
    assert twice == pytest.approx(share(40, 50))


def found(bad, able=0.95, share=1.0):
    def row(name, against):
        return Row(name, "a", 9, 9, Interval(able, able, able), Interval(*against), 0.9)

    return Found([row(REAL, (1, 1, 1)), row("control: x", bad)], share, {})


def test_a_control_must_miss_by_its_whole_interval():
    assert unfit(found((0.5, 0.4, 0.6)), ["control"], 0.8) == []
    assert unfit(found((0.85, 0.8, 0.91)), ["control"], 0.8) == ["control: x was let through"]


def test_weak_judges_and_unlike_halves_are_named():
    assert len(unfit(found((0.5, 0.4, 0.6), able=0.7), ["control"], 0.8)) == 1
    assert len(unfit(found((0.5, 0.4, 0.6), share=0.5), ["control"], 0.8)) == 1


def test_a_row_says_where_the_bar_lies():
    def said(*against):
        return Row("x", "a", 9, 9, Interval(1, 1, 1), Interval(*against), 0.9).verdict()

    assert said(1, 0.95, 1.05) == "met"
    assert said(0.92, 0.85, 1) == "met, within chance"
    assert said(0.88, 0.8, 0.95) == "missed, within chance"
    assert said(0.7, 0.6, 0.8) == "missed"
