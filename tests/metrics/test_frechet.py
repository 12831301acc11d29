"""Frechet distance against its closed form, torchmetrics' own, and what few images do to it."""

import numpy as np
import pytest
import torch
from monai.metrics.fid import get_fid_score
from scipy.linalg import sqrtm
from torchmetrics.image.fid import _compute_fid

from medsynth.errors import MedsynthError
from medsynth.metrics.frechet import frechet, frechet_distance, gaussian_frechet


def spd(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T / d + 0.1 * np.eye(d)


def test_gaussians_in_closed_form():
    diagonal = gaussian_frechet(np.zeros(2), np.diag([1.0, 4.0]), np.array([3.0, 0.0]), np.diag([9.0, 4.0]))
    assert float(diagonal) == pytest.approx(9 + (3 - 1) ** 2)
    rng = np.random.default_rng(0)
    a, b, c, d = spd(rng, 5), spd(rng, 5), rng.normal(size=5), rng.normal(size=5)
    want = ((c - d) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    both = gaussian_frechet(np.stack([c, c]), np.stack([a, a]), np.stack([d, c]), np.stack([b, a]))
    np.testing.assert_allclose(both, [want, 0], atol=1e-7)


def test_equals_torchmetrics_and_monai_on_the_same_features():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 6)), rng.normal(size=(80, 6)) * 1.3 + 0.2
    moments = (torch.from_numpy(part) for part in (x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T)))
    assert frechet_distance(x, y) == pytest.approx(float(_compute_fid(*moments)), rel=1e-6)
    assert frechet_distance(x, y) == pytest.approx(
        float(get_fid_score(torch.from_numpy(x), torch.from_numpy(y))), rel=1e-4
    )


def test_extrapolation_takes_the_bias_of_few_images_away():
    """Plain: .42 where the truth is 0 (F = 8, 80 and 320 images)."""
    rng, plain, value = np.random.default_rng(2), [], []
    for k in range(30):
        found = frechet(rng.normal(size=(80, 8)), rng.normal(size=(320, 8)), seed=k)
        plain.append(found.plain)
        value.append(found.value)
    assert np.mean(plain) > 0.35
    assert abs(np.mean(value)) < max(3 * np.std(value) / np.sqrt(30), 0.05)


def test_interval_covers_the_truth():
    rng, inside, truth = np.random.default_rng(3), 0, 4 * (0.3**2 + 0.5**2)
    for k in range(60):
        found = frechet(rng.normal(size=(60, 4)) * 1.3 + 0.5, rng.normal(size=(120, 4)), seed=k)
        inside += found.low <= truth <= found.high
    assert inside >= 51


def test_few_images_are_stamped_and_fewer_refused():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(60, 8)), rng.normal(size=(90, 8))
    assert frechet(x, y).size == "small"
    assert frechet(x[:, :6], y[:, :6]).size == "enough"
    with pytest.raises(MedsynthError, match="at least 64 images"):
        frechet(np.tile(x, 2), np.tile(y, 2))


def test_images_of_one_patient_count_once_in_the_interval():
    rng = np.random.default_rng(5)
    x, y = (np.repeat(rng.normal(size=(20, 2)), 4, axis=0) + 0.01 * rng.normal(size=(80, 2)) for _ in range(2))
    owners = [str(i // 4) for i in range(80)]
    by_image, by_patient = frechet(x, y), frechet(x, y, x_owners=owners, y_owners=owners)
    assert by_patient.plain == by_image.plain
    assert by_patient.high - by_patient.low > 1.3 * (by_image.high - by_image.low)
