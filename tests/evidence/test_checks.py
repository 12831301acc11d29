"""Every check's bar by hand-made tables: what lies just inside passes, what lies just outside does not."""

from types import SimpleNamespace

import numpy as np
import pytest

from medsynth.evidence.checks import (
    LEAST_WITH_LABEL,
    ConnectivityCheck,
    ContrastCheck,
    PresenceCheck,
    VolumeMeanCheck,
    VolumeSpreadCheck,
)
from medsynth.evidence.claims import TWO_SAMPLE
from medsynth.evidence.feature_checks import FeatureCheck, feature_checks
from medsynth.evidence.image_checks import IntensityCheck, SingleSpectraCheck, SpectrumCheck
from medsynth.evidence.measurements import Measured
from medsynth.metrics.labels import LabelTable
from medsynth.metrics.splits import Sizes, patient_splits

COUNT = 100
REAL = 10 + np.linspace(-1, 1, COUNT)


def measured(volume=REAL, components=1, contrast=0.0, features=None, spectra=None) -> Measured:
    rows = len(volume)
    table = LabelTable(np.asarray(volume, float), np.full(rows, components), np.broadcast_to(contrast, rows))
    empty = np.zeros((rows, 1))
    features, spectra = (empty if part is None else part for part in (features, spectra))
    intensity = {None: np.repeat(np.asarray(volume, float)[:, None], 8, axis=1)}
    return Measured({"any": features}, spectra, {1: table}, np.arange(rows).astype(str), intensity)


def some(share: float, of: float, others: float) -> np.ndarray:
    """COUNT numbers, so large a share of them `of`."""
    return np.where(np.arange(COUNT) < round(share * COUNT), of, others)


@pytest.mark.parametrize(("factor", "passed"), [(1.049, True), (1.051, False), (0.951, True), (0.949, False)])
def test_mean_volume_within_five_percent(factor, passed) -> None:
    found = VolumeMeanCheck(1, "liver")(measured(REAL * factor), measured())
    assert found.value == pytest.approx(factor - 1)
    assert found.passed is passed


@pytest.mark.parametrize(("ratio", "passed"), [(1.32, True), (1.34, False), (0.76, True), (0.74, False)])
def test_spread_of_the_volume(ratio, passed) -> None:
    found = VolumeSpreadCheck(1, "liver")(measured(10 + ratio * (REAL - 10)), measured())
    assert found.value == pytest.approx(ratio)
    assert found.passed is passed


@pytest.mark.parametrize(("share", "passed"), [(0.95, True), (0.94, False), (0.9, False)])
def test_connectivity_in_95_of_100(share, passed) -> None:
    """Reals have two parts, as lungs do."""
    found = ConnectivityCheck(1, "lungs")(measured(components=some(share, 2, 1)), measured(components=2))
    assert found.value == pytest.approx(share)
    assert found.passed is passed


@pytest.mark.parametrize(("share", "passed"), [(0.96, True), (0.94, False)])
def test_presence_within_five_points(share, passed) -> None:
    """Where every real image has the label, real against real differs by nothing."""
    check = PresenceCheck(1, "liver", measured(), patient_splits(range(COUNT), Sizes(20, 80), 20, rng()))
    found = check(measured(some(share, 10, 0)), measured())
    assert found.value == pytest.approx(share - 1)
    assert found.passed is passed


def test_few_images_with_the_label_miss_the_bar_and_few_reals_have_none() -> None:
    enough, few = (measured(some(rows / COUNT, 10, 0)) for rows in (LEAST_WITH_LABEL, LEAST_WITH_LABEL - 1))
    check = VolumeMeanCheck(1, "liver")
    assert check(enough, enough).passed is True
    assert check(few, enough).passed is False
    assert check(enough, few).passed is None


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


POOL = measured(
    contrast=rng().normal(size=COUNT), features=rng().normal(size=(COUNT, 3)), spectra=rng().normal(size=(COUNT, 4))
)
SPLITS = patient_splits(range(COUNT), Sizes(20, 80), 100, rng())
FIXED = SimpleNamespace(bandwidth=2.0, reads_labels=False)
ON_FEATURES = list(feature_checks("any", FIXED, POOL, SPLITS, 0))


@pytest.mark.parametrize(
    ("check", "most"),
    [
        *((check, 5 if check.name == "MMD" else 2 if check.name == "density" else 1) for check in ON_FEATURES),
        (IntensityCheck(POOL, SPLITS), 1),
        (SpectrumCheck(POOL, SPLITS, np.arange(4.0)), 5),
        (SingleSpectraCheck(POOL, SPLITS), 5),
        (PresenceCheck(1, "liver", measured(some(0.5, 10, 0)), SPLITS), 5),
        (ContrastCheck(1, "liver", pool=POOL, splits=SPLITS), 6),  # 2.5% of 100 a side: 3 and 3
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_of_the_splits_that_made_a_bar_as_many_are_outside_as_it_says(check, most) -> None:
    found = [check(check.pool.take(split.first), check.pool.take(split.second)) for split in SPLITS]
    outside = [one.value for one in found if not one.passed]
    shares = ("precision", "recall", "density", "coverage")
    counted = (
        isinstance(check, SingleSpectraCheck | PresenceCheck) or check.name in shares
    )  # shares of 20 images: several splits are alike
    if check.name == TWO_SAMPLE:  # the folds follow the owners' names: alike in law, not in number
        assert abs(np.mean([one.value for one in found]) - check.null.mean()) < 0.05
        return
    if isinstance(check, FeatureCheck):
        np.testing.assert_allclose([one.value for one in found], check.null)
    assert (0 if check.name in shares else 1) <= len(outside) <= most
    assert counted or len(outside) == most
    if isinstance(check, ContrastCheck):
        assert sum(value > 0 for value in outside) == 3


def test_one_in_twenty_of_the_reference_is_outside_its_own_band() -> None:
    assert SingleSpectraCheck(POOL, SPLITS)(POOL, POOL).value == pytest.approx(0.05)
