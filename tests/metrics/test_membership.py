import numpy as np
import pytest
from scipy import stats

from medsynth.errors import MedsynthError
from medsynth.metrics.membership import area, measurable_rates, rate_at, smallest_area, standardised


def test_the_area_is_the_chance_that_a_member_scores_higher() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 40), rng.normal(0, 1, 30)
    assert area(members, others).value == pytest.approx((members[:, None] > others[None]).mean())
    with pytest.raises(MedsynthError, match="empty"):
        area(members, others[:0])


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_its_interval_holds_the_truth_as_often_as_it_says(shift) -> None:
    rng, truth = np.random.default_rng(1), stats.norm.cdf(shift / np.sqrt(2))
    found = [area(rng.normal(shift, 1, 60), rng.normal(0, 1, 40)) for _ in range(1000)]
    inside = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.93 <= inside <= 0.985


@pytest.mark.parametrize("shift", [-2.5, 2.5])
def test_its_interval_does_not_close_where_nearly_all_is_told(shift) -> None:
    """Twenty a side: the error that is taken at the AUC found leaves the truth outside in one case of nine."""
    rng, truth = np.random.default_rng(5), stats.norm.cdf(shift / np.sqrt(2))
    found = [area(rng.normal(shift, 1, 20), rng.normal(0, 1, 20)) for _ in range(400)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.95
    apart = area(np.arange(20.0) + 100, np.arange(20.0))
    assert (apart.value, apart.high) == (1.0, 1.0)
    assert 0.85 < apart.low < 0.95
    none = rate_at(np.arange(20.0), np.arange(20.0) + 100, 0.1, rng=rng, draws=50)
    assert (none.value, none.low) == (0.0, 0.0)
    assert 0.1 < none.high < 0.2


def test_the_rate_at_ten_percent_is_that_of_two_gaussians() -> None:
    rng = np.random.default_rng(2)
    truth = stats.norm.sf(stats.norm.ppf(0.9) - 1)
    found = rate_at(rng.normal(1, 1, 4000), rng.normal(0, 1, 4000), 0.1, rng=rng, draws=200)
    assert found.value == pytest.approx(truth, abs=0.03)
    assert found.low < truth < found.high


def test_one_percent_needs_three_hundred() -> None:
    assert measurable_rates(299) == (0.1,)
    assert measurable_rates(300) == (0.1, 0.01)


def test_the_smallest_area_is_told_in_four_of_five_draws() -> None:
    n, m = 80, 50
    shift = np.sqrt(2) * stats.norm.ppf(smallest_area(n, m))
    rng = np.random.default_rng(3)
    told = np.mean([area(rng.normal(shift, 1, n), rng.normal(0, 1, m)).low > 0.5 for _ in range(500)])
    assert told == pytest.approx(0.8, abs=0.08)


def test_levels_count_alike_and_a_small_error_scores_high() -> None:
    rng = np.random.default_rng(4)
    errors = rng.normal(size=(60, 3)) * [1, 100, 0.01] + [5, -3, 0]
    errors[:30] -= [1, 100, 0.01]
    others = np.arange(60) >= 30
    scores = standardised(errors, others)
    assert scores[:30].mean() - scores[30:].mean() == pytest.approx(1.0, abs=0.4)
    assert scores[30:].mean() == pytest.approx(0, abs=1e-9)
