import numpy as np
import pytest
from scipy import stats

from medsynth.metrics.labels import compare_volumes, label_contrast, label_table, usual_components


def test_volume_and_parts_of_boxes():
    labels = np.zeros((3, 20, 20, 20), dtype=np.int16)
    labels[0, 2:6, 2:7, 2:8] = 1
    labels[1, 2:6, 2:7, 2:8] = 1
    labels[1, 10:12, 10:12, 10:12] = 1
    table = label_table(labels, 1, (0.5, 2.0, 3.0), np.zeros(labels.shape))
    np.testing.assert_allclose(table.volume, [120 * 3 / 1000, 128 * 3 / 1000, 0])
    assert table.components.tolist() == [1, 2, 0]
    assert table.present.tolist() == [True, True, False]


def test_touching_by_a_corner_is_one_part_in_2d_and_3d():
    flat = np.zeros((1, 6, 6), dtype=int)
    flat[0, 1, 1] = flat[0, 2, 2] = 4
    solid = np.zeros((1, 6, 6, 6), dtype=int)
    solid[0, 1, 1, 1] = solid[0, 2, 2, 2] = 4
    assert label_table(flat, 4, (1, 1), flat * 1.0).components.tolist() == [1]
    assert label_table(solid, 4, (1, 1, 1), solid * 1.0).components.tolist() == [1]
    assert label_table(flat, 4, (2.0, 5.0), flat * 1.0).volume[0] == pytest.approx(0.2)  # cm^2


def test_contrast_is_inside_less_shell_in_ranges_of_the_image():
    image = np.zeros((30, 30))
    image[0, :] = -100.0  # far from the label: sets the range only
    image[-1, :] = 300.0
    inside = np.zeros((30, 30), dtype=bool)
    inside[10:14, 10:14] = True
    image[8:16, 8:16] = 50.0
    image[inside] = 90.0
    assert label_contrast(image, inside) == pytest.approx(40 / 400)
    assert label_contrast(3 * image - 7, inside) == pytest.approx(40 / 400)
    assert np.isnan(label_contrast(image, np.zeros_like(inside)))
    assert np.isnan(label_contrast(image, np.ones_like(inside)))
    assert label_contrast(np.ones((30, 30)), inside) == 0


def test_a_label_at_the_border_has_the_same_contrast_as_in_the_whole_array():
    image = np.random.default_rng(0).normal(size=(12, 12, 12))
    inside = np.zeros(image.shape, dtype=bool)
    inside[0:3, 5:8, 9:12] = True
    near = np.zeros_like(inside)
    near[0:5, 3:10, 7:12] = True
    low, high = np.quantile(image, (0.005, 0.995))
    expected = (image[inside].mean() - image[near & ~inside].mean()) / (high - low)
    assert label_contrast(image, inside) == pytest.approx(expected)


def test_volume_comparison_against_scipy_and_coverage():
    rng, inside = np.random.default_rng(1), 0
    for _ in range(200):
        a, b = rng.normal(105, 15, 64), rng.normal(100, 10, 150)
        result = compare_volumes(a, b)
        inside += result.low <= 0.05 <= result.high
    assert 180 <= inside <= 199
    assert (result.ks, result.ks_p) == pytest.approx(tuple(stats.ks_2samp(a, b, method="asymp")))
    assert result.sd_ratio == pytest.approx(a.std(ddof=1) / b.std(ddof=1))


def test_lungs_usually_have_two_parts():
    labels = np.zeros((5, 9, 9), dtype=int)
    labels[:4, 1:3, 1:3] = 1
    labels[:3, 6:8, 6:8] = 1
    assert usual_components(label_table(labels, 1, (1, 1), labels * 1.0)) == 2
