"""The statistics of copies, on numbers whose distribution is known."""

import itertools

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.copies import (
    best_of,
    combined,
    fit_scale,
    fit_tail,
    flagged,
    nearness,
    smallest_rate,
    tail_count,
)

REPEATS = 400


def simulated(rng, images, references=60, copies=0, smooth=0.0):
    """Scores (N, 2, M) of images that are nobody's copy, the first few but of reference 0."""
    spread = np.exp(smooth * rng.normal(size=(images, 1, 1)))
    scores = rng.normal(size=(images, 2, references)) * spread + 3 * rng.normal(size=(images, 1, 1))
    scores += rng.normal(size=(1, 1, references))  # references that are near to everybody
    scores[:copies, 0, 0] += 15 * spread[:copies, 0, 0]
    return scores


def gaps(rng, images, **more):
    scores = simulated(rng, images, **more)
    training = np.arange(60) < 35
    nobody = np.zeros((images, 60), dtype=bool)
    return nearness(scores, training, nobody, fit_scale(scores, training, nobody)), scores, training


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_a_copy_stands_out_whatever_the_image_and_the_reference_are_like(smooth) -> None:
    found, _, _ = gaps(np.random.default_rng(0), 100, copies=5, smooth=smooth)
    assert set(np.argsort(found.gap)[-5:]) == set(range(5))
    assert (found.nearest[:5] == 0).all()
    assert found.gap[:5].min() > 2 * found.gap[5:].max()


def test_what_is_left_out_is_not_seen() -> None:
    rng = np.random.default_rng(0)
    _, scores, training = gaps(rng, 100, copies=5)
    excluded = np.zeros((100, 60), dtype=bool)
    excluded[:5, 0] = True
    near = nearness(scores, training, excluded, fit_scale(scores[5:], training, excluded[5:]))
    assert (near.nearest[:5] != 0).all()
    assert near.gap[:5].max() < 6
    with pytest.raises(MedsynthError, match="no training"):
        nearness(scores, training, excluded | training, fit_scale(scores, training, excluded))


@pytest.mark.parametrize("draw", ["exponential", "normal", "gumbel", "logistic"])
def test_one_false_alarm_in_a_set_is_as_rare_as_said(draw) -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(REPEATS):
        tail = fit_tail(getattr(rng, draw)(size=150))
        alarms += flagged(tail.p(getattr(rng, draw)(size=100)), 0.05).any()
    assert alarms / REPEATS <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / REPEATS)
    if draw == "exponential":  # and not much rarer, where the tail is what is assumed
        assert alarms / REPEATS >= 0.02


def test_p_is_uniform_in_the_tail() -> None:
    rng = np.random.default_rng(2)
    p = np.concatenate([fit_tail(rng.exponential(size=200)).p(rng.exponential(size=100)) for _ in range(200)])
    for level in (0.1, 0.01, 0.001):
        assert (p <= level).mean() == pytest.approx(level, rel=0.5)
    assert p.max() == pytest.approx(0.2, rel=0.1)  # below the tail nothing is claimed


def test_a_twin_among_the_reals_does_not_blind_the_tail() -> None:
    values = np.random.default_rng(3).exponential(size=200)
    clean = fit_tail(values)
    values[7], values[90] = 40, 60
    twins = fit_tail(values)
    assert set(twins.twins) == {7, 90}
    assert twins.excess == pytest.approx(clean.excess, rel=0.1)
    assert clean.twins.size == 0
    with pytest.raises(MedsynthError, match="too few"):
        fit_tail(values[:19])


def test_the_tail_count_has_an_exact_p() -> None:
    rng = np.random.default_rng(4)
    p = np.array([tail_count(rng.normal(size=64), rng.normal(size=80)).p for _ in range(1500)])
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 0.02
    assert (p <= 0.5).mean() >= 0.25  # it is discrete, and not asleep
    result = tail_count(np.full(64, 9.0), rng.normal(size=80))
    assert (result.above, result.of) == (64, 64)
    assert result.p < 1e-12
    smallest = tail_count(np.r_[np.full(result.least, 9.0), np.full(64 - result.least, -9.0)], rng.normal(size=80))
    assert smallest.p < 0.05


def test_a_few_copies_are_seen_where_a_mean_sees_nothing() -> None:
    """5% of copies: each is flagged; the mean gap moves by less than its own spread over draws."""
    rng = np.random.default_rng(5)
    null = gaps(rng, 150)[0].gap
    sample = gaps(rng, 100, copies=5)[0].gap
    hits = flagged(fit_tail(null).p(sample), 0.05)
    assert hits[:5].all()
    assert not hits[5:].any()


def test_holm_and_bonferroni() -> None:
    assert flagged(np.array([0.01, 0.04, 0.03, 0.005]), 0.05).tolist() == [True, False, False, True]
    assert flagged(np.array([0.01, 0.02, 0.02, 0.005]), 0.05).tolist() == [True] * 4
    assert combined([np.array([0.01, 0.9]), np.array([0.2, 0.8])]).tolist() == [0.02, 1.0]


def test_the_smallest_rate_is_the_one_that_shows_itself_in_95_of_100_sets() -> None:
    rate = smallest_rate(256, 0.9)
    assert 1 - (1 - 0.9 * rate) ** 256 == pytest.approx(0.95)
    assert smallest_rate(10, 0.0) == 1.0


def test_the_best_of_a_part_is_the_mean_over_all_parts() -> None:
    values = np.random.default_rng(6).normal(size=8)
    known = np.mean([max(some) for some in itertools.combinations(values, 3)])
    assert best_of(values, 3) == pytest.approx(known)
    assert best_of(values, 99) == values.max()
