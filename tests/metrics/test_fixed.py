import dataclasses

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.controls import ImageSet
from medsynth.metrics.features import fit_features, median_distance
from medsynth.metrics.fixed import fix_features


@dataclasses.dataclass
class Columns:
    """Columns as radiomics gives them: of very different scale, one constant, two collinear."""

    by_label: bool = False
    broken: bool = False
    name: str = "columns"
    sha256: str = "c" * 64

    def __call__(self, images, labels=None):
        mean, spread = images.mean((1, 2)), images.std((1, 2))
        size = labels.sum((1, 2)) if self.by_label else mean
        raw = np.stack([1e12 * mean, spread, 2 * spread, np.full(len(images), 7.0), size], axis=1)
        return np.where(mean[:, None] > 1e6, np.nan, raw) if self.broken else raw.astype(float)


@pytest.fixture
def training():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 6, 6)) * rng.gamma(4, 1, (40, 1, 1)) + rng.normal(size=(40, 1, 1))
    return ImageSet(images, rng.integers(0, 2, (40, 6, 6)), np.arange(40).astype(str))


def test_whitens_what_varies_and_fixes_the_bandwidth(training):
    fixed = fix_features(Columns(), training)
    found = fixed(training.images, training.labels)
    assert found.shape == (40, 2)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-7)
    np.testing.assert_allclose(found.std(0), 1, atol=0.06)
    assert fixed.bandwidth == pytest.approx(median_distance(found))
    assert (fixed.name, fixed.count) == ("columns", 40)


def test_scales_do_not_matter_and_the_hash_says_what_does(training):
    fixed = fix_features(Columns(), training)
    assert fix_features(Columns(), training).sha256 == fixed.sha256
    assert fix_features(Columns(sha256="d" * 64), training).sha256 != fixed.sha256
    assert fix_features(Columns(), training.take(np.arange(39))).sha256 != fixed.sha256
    assert dataclasses.replace(fixed, bandwidth=1.0).sha256 != fixed.sha256


def test_a_whitened_space_stays_as_it_is(training):
    space = fit_features(training.images)
    fixed = fix_features(space, training)
    np.testing.assert_array_equal(fixed(training.images), space(training.images))
    assert fixed.bandwidth == pytest.approx(space.bandwidth)
    assert not fixed.reads_labels


def test_sees_whether_labels_are_read(training):
    assert fix_features(Columns(by_label=True), training).reads_labels
    assert not fix_features(Columns(), training).reads_labels


def test_refuses_what_compares_nothing(training):
    with pytest.raises(MedsynthError, match="at least 8"):
        fix_features(Columns(), training.take(np.arange(7)))
    with pytest.raises(MedsynthError, match="alike for all"):
        fix_features(Columns(), training.take(np.zeros(20, dtype=int)))
    with pytest.raises(MedsynthError, match="not finite"):
        fix_features(Columns(broken=True), training)(training.images[:2] + 1e7)
