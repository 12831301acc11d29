"""KID against its mean, its null and torchmetrics' own."""

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from medsynth.metrics.kid import kid


def linear_part(shift: np.ndarray) -> float:
    """KID of N(0, I) and N(shift, I) in one dimension: E (xy + 1)^3 over the three pairs of distributions."""
    (m,) = shift

    def mean(a: float, b: float) -> float:
        first, second, third = a * b, (1 + a**2) * (1 + b**2), (a**3 + 3 * a) * (b**3 + 3 * b)
        return third + 3 * second + 3 * first + 1

    return mean(0, 0) + mean(m, m) - 2 * mean(0, m)


def test_equals_the_closed_form_of_gaussians():
    rng, values = np.random.default_rng(0), []
    for _ in range(400):
        values.append(kid(rng.normal(size=(60, 1)) + 0.7, rng.normal(size=(90, 1))).value)
    error = np.std(values) / 20
    assert np.mean(values) == pytest.approx(linear_part(np.array([0.7])), abs=3 * error)
    assert error < 0.1 * linear_part(np.array([0.7]))


def test_mean_is_zero_under_the_null_and_some_values_are_negative():
    rng = np.random.default_rng(1)
    values = np.array([kid(rng.normal(size=(20, 6)), rng.normal(size=(30, 6))).value for _ in range(300)])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(300)
    assert (values < 0).mean() > 0.3


def test_equals_torchmetrics_on_the_same_features():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 16)), rng.normal(size=(40, 16)) + 0.3
    assert kid(x, y).value == pytest.approx(float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y))), rel=1e-9)


def test_interval_covers_the_truth():
    rng, inside = np.random.default_rng(3), 0
    for _ in range(100):
        found = kid(rng.normal(size=(80, 1)) + 0.7, rng.normal(size=(80, 1)))
        inside += found.low <= linear_part(np.array([0.7])) <= found.high
    assert 86 <= inside <= 100


def test_mean_is_zero_under_the_null_with_several_images_a_patient():
    rng, by_patient, by_image = np.random.default_rng(5), [], []
    owners = [str(i // 6) for i in range(48)]
    for _ in range(300):
        x = rng.normal(size=(20, 4))
        y = np.repeat(rng.normal(size=(8, 4)), 6, axis=0) * 0.8 + rng.normal(size=(48, 4)) * 0.6
        by_patient.append(kid(x, y, y_owners=owners).value)
        by_image.append(kid(x, y).value)
    error = np.std(by_patient) / np.sqrt(300)
    assert abs(np.mean(by_patient)) < 3 * error
    assert np.mean(by_image) > 4 * error


def test_images_of_one_patient_count_once_in_the_interval():
    rng = np.random.default_rng(4)
    x, y = (np.repeat(rng.normal(size=(15, 3)), 4, axis=0) + 0.01 * rng.normal(size=(60, 3)) for _ in range(2))
    owners = [str(i // 4) for i in range(60)]
    by_image, by_patient = kid(x, y), kid(x, y, x_owners=owners, y_owners=owners)
    assert by_patient.high - by_patient.low > 1.5 * (by_image.high - by_image.low)
