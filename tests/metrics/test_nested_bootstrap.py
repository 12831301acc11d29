"""The nested bootstrap against simulated variance components, whose truth is known."""

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.nested_bootstrap import LEVELS, Sizes, nested_bootstrap


def score_of(table):
    """Mean over patients, each counted as often as its weight."""
    return lambda weights: np.einsum("rp,dsp->rds", weights, table) / weights.sum(1)[:, None, None]


def coverage(draw, seed, patient, rest, over=LEVELS, draws=3, seeds=2, patients=50, times=200):
    """Share of simulated experiments of mean 0 whose interval holds 0; the arguments are standard deviations."""
    rng = np.random.default_rng(5)
    held = 0
    for number in range(times):
        table = draw * rng.normal(size=(draws, 1, 1)) + seed * rng.normal(size=(draws, seeds, 1))
        table = table + patient * rng.normal(size=patients) + rest * rng.normal(size=(draws, seeds, patients))
        sizes = Sizes(draws, seeds, patients)
        found = nested_bootstrap(score_of(table), sizes, resamples=200, seed=number, over=over)
        held += found.low <= 0 <= found.high
    return held / times


@pytest.mark.parametrize(
    ("components", "draws"),
    [
        ((0.02, 0.02, 0.1, 0.05), 3),
        ((0.02, 0.02, 0.1, 0.05), 5),
        ((0.05, 0.01, 0.05, 0.02), 3),
        ((0.05, 0.01, 0.05, 0.02), 5),
        ((0.0, 0.0, 0.2, 0.0), 3),
        ((0.0, 0.05, 0.05, 0.02), 4),
    ],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(components, draws):
    assert coverage(*components, draws=draws) >= 0.9  # of 200: 0.95 less three standard errors


@pytest.mark.parametrize(
    ("components", "left"),
    [
        ((0.05, 0.01, 0.05, 0.02), {"seed", "patient"}),
        ((0.01, 0.01, 0.2, 0.02), {"draw", "seed"}),
        ((0.0, 0.05, 0.05, 0.02), {"patient"}),
    ],
    ids=["draw left out", "patient left out", "seed and draw left out"],
)
def test_a_level_left_out_makes_the_interval_too_narrow(components, left):
    assert coverage(*components, over=left) < 0.75
    assert coverage(*components) >= 0.9


def test_one_level_alone_is_the_known_standard_error():
    rng = np.random.default_rng(0)
    patients = rng.normal(size=80)
    found = nested_bootstrap(score_of(patients[None, None]), Sizes(1, 1, 80), resamples=20000)
    assert found.value == pytest.approx(patients.mean())
    assert found.error == pytest.approx(patients.std() / np.sqrt(80), rel=0.03)
    assert found.freedom == 79
    draws = rng.normal(size=(4, 1, 1)) * np.ones((4, 1, 2))
    found = nested_bootstrap(score_of(draws), Sizes(4, 1, 2), resamples=20000)
    assert found.parts["draw"] == pytest.approx(draws[:, 0, 0].std(ddof=1) / 2, rel=0.03)
    assert found.freedom == pytest.approx(3)
    low, high = found.value - 3.182 * found.error, found.value + 3.182 * found.error
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-3)


def test_the_same_seed_gives_the_same_interval_and_what_does_not_vary_has_none():
    table = np.random.default_rng(0).normal(size=(3, 2, 10))
    one, two = (nested_bootstrap(score_of(table), Sizes(3, 2, 10), resamples=200, seed=4) for _ in range(2))
    assert one == two
    same = nested_bootstrap(score_of(np.ones((3, 2, 10))), Sizes(3, 2, 10), resamples=200)
    assert same.low == pytest.approx(1)
    assert same.high == pytest.approx(1)


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(MedsynthError, match="2 patients"):
        nested_bootstrap(score_of(np.ones((3, 2, 1))), Sizes(3, 2, 1))
    with pytest.raises(MedsynthError, match="not finite"):
        nested_bootstrap(score_of(np.full((3, 2, 4), np.nan)), Sizes(3, 2, 4))
