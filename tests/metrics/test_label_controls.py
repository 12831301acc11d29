"""Each bad case of anatomy does what it says and leaves the reals alone."""

import numpy as np
import pytest

from medsynth.metrics import controls as bad
from medsynth.metrics.anatomy import anatomy_table
from medsynth.metrics.controls import ImageSet, describe
from medsynth.metrics.label_controls import label_controls

VALUES = (2, 5)


def maps(shape, gap=0):
    """Ten maps of two blocks, the first one larger, `gap` voxels between them."""
    labels = np.zeros((10, *shape), dtype=np.int32)
    rest = (slice(4, 10),) * (len(shape) - 1)
    labels[(slice(None), slice(3, 10), *rest)] = 2
    labels[(slice(None), slice(10 + gap, 15 + gap), *rest)] = 5
    return ImageSet(np.zeros(labels.shape, dtype=np.float32), labels, np.arange(10).astype(str))


def made(real, values=VALUES):
    spacing = (1.0,) * (real.images.ndim - 1)
    return label_controls(real, values, spacing, np.random.default_rng(0))


def table(case):
    return anatomy_table(case.labels, VALUES, (1.0,) * (case.images.ndim - 1))


@pytest.mark.parametrize("shape", [(24, 14), (24, 14, 14)])
def test_each_does_what_it_says_in_2d_and_3d(shape):
    real = maps(shape)
    before, own, cases = real.labels.copy(), table(real), made(real)
    np.testing.assert_array_equal(real.labels, before)
    for name, case in cases.items():
        assert case.labels.shape == real.labels.shape
        assert case.labels.dtype == real.labels.dtype
        assert case.images is real.images
        assert set(np.unique(case.labels)) == {0, *VALUES}
        assert describe(name) != name
    size = (real.labels > 0).sum()
    foreground = cases[bad.ERODED].labels > 0
    assert foreground[0].sum() == 10 * 4 ** (len(shape) - 1)  # 12 x 6 without a voxel all round
    ragged = cases[bad.ROUGHENED].labels
    assert 0.9 < (ragged > 0).sum() / size < 1.15
    assert (table(cases[bad.ROUGHENED]).roughness > own.roughness + 0.05).all()
    assert table(cases[bad.HOLED]).holes[:, 0].tolist() == [1, 0, 0, 0, 0] * 2
    steps = [max(1, round(side / 10)) for side in shape]
    np.testing.assert_allclose(table(cases[bad.MOVED]).place - own.place, np.broadcast_to(steps, own.place.shape))
    np.testing.assert_allclose(table(cases[bad.MIRRORED]).place, -own.place)
    np.testing.assert_allclose(table(cases[bad.SWAPPED]).offset, -own.offset)
    parted = table(cases[bad.APART])
    assert not parted.meeting.any()
    np.testing.assert_allclose(parted.offset[:, 0, 0] - own.offset[:, 0, 0], 4)
    assert bad.BRIDGED not in cases


def test_labels_that_never_touch_are_joined_in_one_map_of_five():
    real = maps((24, 14, 14), gap=3)
    assert not table(real).meeting.any()
    cases = made(real)
    assert table(cases[bad.BRIDGED]).meeting[:, 0].tolist() == [True, False, False, False, False] * 2
    assert (cases[bad.BRIDGED].labels != real.labels).sum() == 2 * 3


def test_one_label_has_the_cases_of_one():
    assert set(made(maps((24, 14)), (2,))) == {bad.ERODED, bad.ROUGHENED, bad.HOLED, bad.MOVED}


def test_empty_maps_stay_empty():
    real = maps((24, 14))
    real.labels[0] = 0
    for case in made(real).values():
        assert not case.labels[0].any()
