import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics import controls as bad
from medsynth.metrics.controls import ImageSet, controls, describe
from medsynth.metrics.labels import label_table


@pytest.fixture
def real():
    rng = np.random.default_rng(0)
    labels = np.zeros((10, 12, 12, 12), dtype=np.int32)
    labels[:, 3:7, 3:7, 3:7] = np.arange(1, 3).repeat(5)[:, None, None, None]
    return ImageSet(
        rng.normal(50, 10, labels.shape).astype(np.float32), labels, np.array([str(i // 2) for i in range(10)])
    )


def made(real, **more):
    return controls(real, (1.0, 1.0, 1.0), (0.0, 100.0), np.random.default_rng(1), **more)


def test_all_controls_have_the_size_and_leave_the_reals_alone(real):
    before = real.images.copy(), real.labels.copy()
    for name, case in made(real).items():
        assert case.images.shape == real.images.shape
        assert case.labels.shape == real.labels.shape
        assert describe(name) != name
    np.testing.assert_array_equal(real.images, before[0])
    np.testing.assert_array_equal(real.labels, before[1])


def test_each_does_what_it_says(real):
    cases = made(real)
    noise = cases[bad.NOISE].images - real.images
    assert noise.std() == pytest.approx(5, rel=0.05)
    assert cases[bad.NOISE].images.max() <= real.images.max()
    assert cases[bad.BLUR].images.std() < 0.3 * real.images.std()
    constant = cases[bad.CONSTANT].images
    np.testing.assert_allclose(constant[:, 0, 0, 0], real.images.mean((1, 2, 3)), rtol=1e-5)
    assert np.ptp(constant[0]) == 0
    assert (cases[bad.REPEATED].images == real.images[0]).all()
    grown = label_table(cases[bad.GROWN].labels, 1, (1, 1, 1), real.images).volume[0] * 1000
    assert grown == 64 + 6 * 16
    parts = label_table(cases[bad.SPECKS].labels, 1, (1, 1, 1), real.images).components
    assert parts[:5].tolist() == [2, 1, 1, 1, 1]
    assert [bool(m.any()) for m in cases[bad.LOST].labels] == [False, True, True, True, True] * 2


def test_averages_and_shuffles_mix_patients_never_one_with_itself(real):
    flat = real._replace(images=np.broadcast_to(np.arange(10.0).reshape(-1, 1, 1, 1), real.images.shape))
    partner = 2 * bad.averaged(flat, np.random.default_rng(2)).images[:, 0, 0, 0] - np.arange(10)
    assert (real.owners[partner.astype(int)] != real.owners).all()
    with pytest.raises(MedsynthError, match="two patients"):
        bad.averaged(real._replace(owners=np.repeat("a", 10)), np.random.default_rng(0))


def test_blur_is_isotropic_in_mm_and_at_least_a_voxel(real):
    point = np.zeros((1, 21, 21))
    point[0, 10, 10] = 1
    soft = bad.blurred(ImageSet(point, None, np.array(["a"])), (0.5, 2.0)).images[0]
    offsets = np.arange(21) - 10
    spread = [np.sqrt((soft.sum(1 - a) * offsets**2).sum()) * s for a, s in enumerate((0.5, 2.0))]
    assert spread[0] == pytest.approx(1, rel=0.02)
    assert spread[1] == pytest.approx(2, rel=0.02)  # a voxel, where that is more


def test_without_labels_there_are_no_label_controls(real):
    plain = real._replace(labels=None)
    assert bad.SHUFFLED not in made(plain)
    with pytest.raises(MedsynthError, match="label maps"):
        bad.grown_labels(plain)
