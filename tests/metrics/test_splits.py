import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.splits import Sizes, halves, patient_splits, plan_sizes, simultaneous_band


def test_no_patient_is_on_both_sides_and_sizes_hold():
    rng = np.random.default_rng(0)
    patients = [f"p{i}" for i in rng.integers(0, 40, 120)]
    owner = np.array(patients)
    for split in patient_splits(patients, Sizes(30, 60), 50, rng):
        assert (len(split.first), len(split.second)) == (30, 60)
        assert len(set(split.first) | set(split.second)) == 90
        assert not set(owner[split.first]) & set(owner[split.second])


def test_every_image_has_its_turn_on_either_side():
    splits = patient_splits([str(i) for i in range(20)], Sizes(10, 10), 400, np.random.default_rng(1))
    share = np.mean([np.isin(np.arange(20), split.first) for split in splits], axis=0)
    assert np.abs(share - 0.5).max() < 0.12


def test_planned_sizes_can_always_be_drawn():
    for patients in (["a"] * 5 + list("bcdefghijklmnopqrstu"), [str(i // 3) for i in range(60)]):
        sizes = plan_sizes(patients, 10, least=4)
        assert sizes is not None
        patient_splits(patients, sizes, 200, np.random.default_rng(2))


def test_a_pool_too_small_gives_the_largest_equal_size_or_none():
    assert plan_sizes([str(i) for i in range(220)], 64) == Sizes(64, 156)
    assert plan_sizes([str(i) for i in range(1000)], 64) == Sizes(64, 256)
    assert plan_sizes([str(i) for i in range(60)], 64) == Sizes(30, 30)
    assert plan_sizes([str(i) for i in range(15)], 64) is None
    assert plan_sizes(["one"] * 200, 64) is None
    assert plan_sizes([], 64) is None


def test_an_impossible_split_is_refused_in_one_line():
    with pytest.raises(MedsynthError, match="cannot be split into 8 and 8"):
        patient_splits(["a"] * 10 + ["b"], Sizes(8, 8), 1, np.random.default_rng(0))


def test_the_band_holds_whole_curves_at_its_level():
    rng = np.random.default_rng(3)
    spread, factor = simultaneous_band(rng.normal(size=(2000, 10)))
    fresh = np.abs(rng.normal(size=(4000, 10)) / spread).max(axis=1)
    assert (fresh <= factor).mean() == pytest.approx(0.95, abs=0.015)


def test_halves_share_no_owner():
    owners = np.repeat(np.arange(9), 3).astype(str)
    for half in halves(owners, 5, np.random.default_rng(0)):
        assert len(set(owners[half])) == 4
        assert not set(owners[half]) & set(owners[~half])
