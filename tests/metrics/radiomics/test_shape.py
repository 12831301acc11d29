import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.radiomics.shape import boundary_mesh, shape, spatial_autocorrelation


def ellipsoid(semi_mm, spacing):
    axes = [np.arange(-np.ceil(s / d) - 1, np.ceil(s / d) + 2) * d for s, d in zip(semi_mm, spacing, strict=True)]
    places = np.meshgrid(*axes, indexing="ij")
    return sum((p / s) ** 2 for p, s in zip(places, semi_mm, strict=True)) <= 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0)])
def test_a_disc_in_mm(spacing):
    mask = ellipsoid((30, 30), spacing)
    of = shape(mask, np.ones(mask.shape), spacing)
    assert of.volume == pytest.approx(np.pi * 30**2, rel=0.01)
    assert of.diam == pytest.approx(60, abs=2)  # a voxel
    assert of.pca_maj_axis == pytest.approx(60, rel=0.02)
    assert of.pca_elongation == pytest.approx(1, rel=0.02)
    assert of.vol_dens_aee == pytest.approx(1, rel=0.02)
    assert of.com == pytest.approx(0, abs=1e-9)
    assert of.comp_2 == pytest.approx(of.sphericity**2)
    assert np.isnan(of.pca_flatness)


def test_an_ellipsoid_in_anisotropic_voxels():
    mask = ellipsoid((20, 12, 8), (0.8, 0.5, 1.0))
    of = shape(mask, np.ones(mask.shape), (0.8, 0.5, 1.0))
    assert of.volume == pytest.approx(4 / 3 * np.pi * 20 * 12 * 8, rel=0.02)
    # The second moment of a full ellipsoid along a semi-axis a is a^2 / 5; IBSI calls 4 of its roots the axis.
    found = np.array([of.pca_maj_axis, of.pca_min_axis, of.pca_least_axis])
    np.testing.assert_allclose(found, 4 / 5**0.5 * np.array([20, 12, 8]), rtol=0.03)
    assert of.pca_flatness == pytest.approx(0.4, rel=0.03)
    assert 0.9 < of.vol_dens_conv_hull <= 1  # steps of voxels lie inside the hull


def test_a_rectangle_of_voxels_has_its_area_less_the_corners():
    mesh = boundary_mesh(np.ones((4, 6), dtype=bool), (2.0, 3.0))
    assert mesh.content == pytest.approx(8 * 18 - 4 * (1 * 1.5 / 2))
    assert mesh.boundary == pytest.approx(2 * (6 + 15) + 4 * np.hypot(1, 1.5))


def test_parts_and_holes_count_once():
    one = np.zeros((30, 30), dtype=bool)
    one[2:10, 2:10] = True
    two = one | np.roll(one, 15, axis=0)
    ring = one.copy()
    ring[5:7, 5:7] = False
    whole, hole = boundary_mesh(one, (1, 1)), boundary_mesh(ring, (1, 1))
    assert boundary_mesh(two, (1, 1)).content == pytest.approx(2 * whole.content)
    assert whole.content - hole.content == pytest.approx(4, abs=0.6)


def test_autocorrelation_is_the_sum_over_all_pairs():
    rng = np.random.default_rng(0)
    image, inside, spacing = rng.normal(5, 2, (5, 6, 4)), rng.random((5, 6, 4)) > 0.3, np.array([1.0, 0.7, 2.5])
    places, x = np.argwhere(inside) * spacing, image[inside]
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    weights = np.where(distance > 0, 1 / np.where(distance > 0, distance, 1), 0)
    centred, n = x - x.mean(), len(x)
    moran = n / weights.sum() * (weights * np.outer(centred, centred)).sum() / (centred**2).sum()
    geary = (n - 1) / (2 * weights.sum()) * (weights * (x[:, None] - x[None]) ** 2).sum() / (centred**2).sum()
    assert spatial_autocorrelation(inside, image, spacing) == pytest.approx((moran, geary))


def test_a_voxel_has_a_shape_and_other_ranks_none():
    of = shape(np.ones((1, 1, 1), dtype=bool), np.ones((1, 1, 1)), (1, 1, 1))
    assert of.volume > 0
    assert np.isnan([of.moran_i, of.pca_elongation]).all()
    with pytest.raises(MedsynthError, match="2D or 3D"):
        shape(np.ones((2, 2, 2, 2), dtype=bool), np.ones((2, 2, 2, 2)), (1, 1, 1, 1))
