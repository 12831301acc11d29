"""MMD against its closed form, its null and its alternatives."""

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.mmd import mmd2_on_splits, mmd_test, rbf_kernel, unbiased_mmd2
from medsynth.metrics.splits import Split


def gaussian_mmd2(shift: np.ndarray, bandwidth: float) -> float:
    """MMD^2 of N(0, I) and N(shift, I): E k = (h^2/(h^2+2))^(d/2) exp(-|shift|^2 / (2 (h^2+2)))."""
    h2, d = bandwidth**2, len(shift)
    scale = (h2 / (h2 + 2)) ** (d / 2)
    return 2 * scale * (1 - np.exp(-(shift @ shift) / (2 * (h2 + 2))))


def test_equals_the_closed_form_of_gaussians():
    rng, shift, values = np.random.default_rng(0), np.array([1.0, 0.5, 0.0]), []
    for _ in range(60):
        values.append(unbiased_mmd2(rng.normal(size=(100, 3)) + shift, rng.normal(size=(150, 3)), 1.5))
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(gaussian_mmd2(shift, 1.5), abs=3 * error)
    assert error < 0.05 * gaussian_mmd2(shift, 1.5)


def test_mean_is_zero_under_the_null_and_some_values_are_negative():
    rng = np.random.default_rng(1)
    values = np.array([unbiased_mmd2(rng.normal(size=(20, 4)), rng.normal(size=(30, 4)), 2.0) for _ in range(400)])
    assert abs(values.mean()) < 3 * values.std() / 20
    assert (values < 0).mean() > 0.3


def test_equals_the_double_sum_of_the_paper():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(7, 2)) + 1
    k = lambda a, b: np.exp(-((a - b) ** 2).sum() / (2 * 0.7**2))  # noqa: E731
    first = sum(k(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    second = sum(k(y[i], y[j]) for i in range(7) for j in range(7) if i != j) / 42
    cross = sum(k(a, b) for a in x for b in y) / 35
    assert unbiased_mmd2(x, y, 0.7) == pytest.approx(first + second - 2 * cross, rel=1e-12)


@pytest.mark.parametrize(("n", "power"), [(25, 0.7), (64, 0.99)])
def test_power_against_a_shift_and_level_without(n, power):
    rng = np.random.default_rng(3)
    hit, alarm = [], []
    for _ in range(60):
        x, y = rng.normal(size=(n, 8)), rng.normal(size=(n, 8))
        alarm.append(mmd_test(x, y, 4.0, permutations=99, rng=rng).p <= 0.05)
        hit.append(mmd_test(x + 0.4, y, 4.0, permutations=99, rng=rng).p <= 0.05)
    assert np.mean(hit) >= power
    assert np.mean(alarm) <= 0.15


def test_mean_is_zero_under_the_null_with_several_images_a_patient():
    """Synthetic images, one each, against 6 scans of each of 8 patients, drawn from one distribution."""
    rng, by_patient, by_image = np.random.default_rng(7), [], []
    owners = np.array([f"x{i}" for i in range(20)] + [f"y{i // 6}" for i in range(48)])
    here = [Split(np.arange(20), np.arange(20, 68))]
    for _ in range(300):
        scans = np.repeat(rng.normal(size=(8, 4)), 6, axis=0) * 0.8 + rng.normal(size=(48, 4)) * 0.6
        both = np.concatenate([rng.normal(size=(20, 4)), scans])
        kernel = rbf_kernel(both, both, 2.0)
        by_patient.append(mmd2_on_splits(kernel, here, owners)[0])
        by_image.append(mmd2_on_splits(kernel, here)[0])
    error = np.std(by_patient) / np.sqrt(300)
    assert abs(np.mean(by_patient)) < 3 * error
    assert np.mean(by_image) > 5 * error
    assert mmd_test(both[:20], scans, 2.0, permutations=1, rng=rng, y_owners=owners[20:]).value == by_patient[-1]


def test_one_patient_a_side_has_no_value_and_in_a_permutation_counts_against():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(40, 2))
    with pytest.raises(MedsynthError, match="two patients"):
        mmd_test(x, y, 1.0, permutations=9, rng=rng, x_owners=["a"] * 3)
    owners = [str(i // 4) for i in range(40)]  # whole first groups are of one patient
    assert mmd_test(x + 9, y, 1.0, permutations=199, rng=rng, y_owners=owners).p > 0.3


def test_patients_stay_together_in_permutations():
    """Ten images of each of 6 patients: images as such would claim certainty that 6 patients do not give."""
    rng, alarms = np.random.default_rng(4), {"by patient": 0, "by image": 0}
    for _ in range(40):
        centres = rng.normal(size=(12, 4))
        images = np.repeat(centres, 10, axis=0) + 0.05 * rng.normal(size=(120, 4))
        owners = [str(i // 10) for i in range(60)]
        x, y = images[:60], images[60:]
        grouped = mmd_test(x, y, 2.5, permutations=99, rng=rng, x_owners=owners, y_owners=owners)
        alarms["by patient"] += grouped.p <= 0.05
        alarms["by image"] += mmd_test(x, y, 2.5, permutations=99, rng=rng).p <= 0.05
    assert alarms["by patient"] <= 7
    assert alarms["by image"] >= 30


def test_interval_covers_the_truth():
    rng, shift, inside = np.random.default_rng(5), np.array([1.5, 0.0]), 0
    for _ in range(100):
        result = mmd_test(rng.normal(size=(60, 2)) + shift, rng.normal(size=(60, 2)), 1.5, permutations=1, rng=rng)
        inside += result.low <= gaussian_mmd2(shift, 1.5) <= result.high
    assert 88 <= inside <= 100


def test_all_splits_at_once_equal_one_by_one():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(30, 3))
    splits = [Split(o[:9], o[9:25]) for o in (rng.permutation(30) for _ in range(5))]
    one_by_one = [unbiased_mmd2(x[s.first], x[s.second], 1.0) for s in splits]
    np.testing.assert_allclose(mmd2_on_splits(rbf_kernel(x, x, 1.0), splits), one_by_one, rtol=1e-9)
