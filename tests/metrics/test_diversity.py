import numpy as np
import pytest
import torch
from monai.metrics.regression import MultiScaleSSIMMetric

from medsynth.metrics.diversity import diversity, pairwise_ms_ssim


@pytest.mark.parametrize(("shape", "scales"), [((48, 40), 3), ((24, 32, 20), 3), ((12, 12), 2), ((6, 7), 2)])
def test_equals_monai_pair_by_pair(shape, scales):
    rng = np.random.default_rng(0)
    base = rng.random(shape)
    images = np.stack([0.6 * base + 0.4 * rng.random(shape) for _ in range(3)]).astype(np.float32)
    matrix = pairwise_ms_ssim(100 * images - 20, -20, 80)
    weights = np.array((0.5, 0.3, 0.2))[:scales] / sum((0.5, 0.3, 0.2)[:scales])
    window = 5 if min(shape) >= 8 else 3
    oracle = MultiScaleSSIMMetric(
        len(shape), data_range=1.0, kernel_type="uniform", kernel_size=window, weights=weights.tolist()
    )
    tensor = torch.from_numpy(images)[:, None]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        assert matrix[i, j] == pytest.approx(float(oracle(tensor[i : i + 1], tensor[j : j + 1])), abs=1e-4)
    np.testing.assert_array_equal(np.diag(matrix), 1)


def test_one_image_repeated_is_one_and_noise_is_near_zero():
    rng = np.random.default_rng(1)
    same = pairwise_ms_ssim(np.repeat(rng.random((1, 32, 32)), 6, axis=0), 0, 1)
    noise = pairwise_ms_ssim(rng.random((6, 32, 32)), 0, 1)
    owners = [str(i) for i in range(6)]
    assert diversity(same, owners).mean == pytest.approx(1, abs=1e-5)
    assert diversity(noise, owners).mean < 0.15


def test_pairs_of_one_patient_do_not_count():
    matrix = np.full((4, 4), 0.2)
    matrix[0, 1] = matrix[1, 0] = 0.9
    assert diversity(matrix, ["a", "a", "b", "c"]).mean == pytest.approx(0.2)
    assert diversity(matrix, ["a", "a", "b", "c"]).pairs == 5


def test_the_jackknife_error_is_the_spread_over_draws():
    """U-statistic of h(x, y) = (x + y) / 2: its variance is that of the mean."""
    rng, n = np.random.default_rng(2), 40
    draws = rng.normal(size=(200, n))
    found = [diversity((x[:, None] + x[None]) / 2, [str(i) for i in range(n)]) for x in draws]
    assert np.mean([d.error for d in found]) == pytest.approx(1 / np.sqrt(n), rel=0.1)
    assert np.std([d.mean for d in found]) == pytest.approx(1 / np.sqrt(n), rel=0.15)
