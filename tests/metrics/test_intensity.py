"""Wasserstein distance of intensities: shifts and scales of known size, in units."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from medsynth.metrics.intensity import image_quantiles, intensity_distance, wasserstein


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(100, 20, (12, 20, 24)).astype(np.float32)


def test_a_shift_is_its_own_size_and_a_gain_its_mean_move(images):
    own = image_quantiles(images)
    assert wasserstein(own, own) == 0
    assert wasserstein(image_quantiles(images + 7), own) == pytest.approx(7, rel=1e-4)
    tripled = intensity_distance(image_quantiles(3 * images), own)
    assert tripled.value == pytest.approx(200, rel=0.02)
    assert tripled.second[3] == pytest.approx(100, rel=0.02)
    assert tripled.first[3] == pytest.approx(300, rel=0.02)


def test_equals_that_of_all_voxels(images):
    other = np.random.default_rng(1).gamma(4, 30, (9, 8, 8, 8))
    want = wasserstein_distance(images.ravel(), other.ravel())
    assert wasserstein(image_quantiles(images), image_quantiles(other)) == pytest.approx(want, rel=0.01)


def test_inside_a_label_alone_and_without_it_nothing(images):
    inside = np.zeros(images.shape, dtype=bool)
    inside[1:, :5] = True
    painted = np.where(inside, 500.0, images)
    found = image_quantiles(painted, inside)
    assert np.isnan(found[0]).all()
    assert np.all(found[1:] == 500)
    assert wasserstein(found, np.full((3, 128), 400.0)) == pytest.approx(100)
    assert np.isnan(wasserstein(found[:1], found))


def test_the_interval_is_by_patient():
    rng, inside = np.random.default_rng(2), 0
    for _ in range(60):
        means = rng.normal(100, 5, 40)
        quantiles = image_quantiles(np.repeat(means, 2)[:, None] + rng.normal(0, 1, (80, 200)))
        owners = [str(i // 2) for i in range(80)]
        found = intensity_distance(
            quantiles[:40] + 10, quantiles[40:], first_owners=owners[:40], second_owners=owners[:40]
        )
        inside += found.low <= 10 <= found.high
    assert inside >= 52
