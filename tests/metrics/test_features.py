import dataclasses

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.features import fit_features, haar_log_energies, median_distance


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(100, 20, (40, 12, 16, 10)).astype(np.float32)


def test_white_noise_has_its_variance_in_every_band_of_every_rank():
    rng = np.random.default_rng(1)
    for shape, bands in (((256, 256), 9), ((64, 64, 64), 21)):
        energies = haar_log_energies(rng.normal(0, 0.1, shape))
        assert energies.shape == (bands,)
        np.testing.assert_allclose(10**energies, 0.01, rtol=0.25)


def test_haar_keeps_the_energy():
    image = np.random.default_rng(2).random((8, 8))
    parts = (10 ** haar_log_energies(image, levels=3) - 1e-7).reshape(3, 3)
    details = sum(part.sum() * (64 / 4 ** (level + 1)) for level, part in enumerate(parts))
    assert details + (image.sum() / 8) ** 2 == pytest.approx((image**2).sum())


def test_a_shift_of_units_changes_nothing(images):
    # HU or anything else: features of a * x + b fixed on a * x + b are those of x.
    plain, other = fit_features(images), fit_features(3 * images - 1000)
    np.testing.assert_allclose(np.abs(plain(images[:4])), np.abs(other(3 * images[:4] - 1000)), rtol=1e-3, atol=2e-3)
    assert plain.bandwidth == pytest.approx(other.bandwidth, rel=1e-3)


def test_fixed_on_training_images_and_named(images):
    space = fit_features(images)
    assert space.name == "haar_energy_lowres_v1"
    np.testing.assert_allclose(space(images).mean(0), 0, atol=1e-6)
    assert space.bandwidth == pytest.approx(median_distance(space(images)))
    assert fit_features(images).sha256 == space.sha256
    assert fit_features(images[1:]).sha256 != space.sha256
    assert dataclasses.replace(space, bandwidth=1.0).sha256 != space.sha256
    alone = space(images[3:4])
    np.testing.assert_allclose(alone[0], space(images)[3], rtol=1e-9)


def test_odd_and_flat_shapes_work():
    for shape in ((7, 9), (5, 6, 3), (33, 2, 8)):
        images = np.random.default_rng(3).random((10, *shape))
        assert np.isfinite(fit_features(images)(images)).all()


def test_refuses_what_fixes_nothing(images):
    with pytest.raises(MedsynthError, match="at least 8"):
        fit_features(images[:7])
    with pytest.raises(MedsynthError, match="one value"):
        fit_features(np.ones((8, 4, 4)))


def test_fresh_images_are_no_strangers_to_axes_fitted_on_others():
    """The overfit of the axes stays small: fresh white-noise images spread as the training images do."""
    rng = np.random.default_rng(4)
    ours, fresh = (rng.normal(size=(96, 16, 16)).cumsum(1).cumsum(2) for _ in range(2))
    space = fit_features(ours)
    assert 0.8 < space(fresh).std() / space(ours).std() < 1.2


def test_median_distance_of_a_line():
    assert median_distance(np.array([[0.0], [1.0], [3.0]])) == pytest.approx(2.0)
