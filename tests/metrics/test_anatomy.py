"""Shape by closed forms first, then against scikit-image, then of real hippocampi."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from scipy.special import ellipe, ellipeinc, ellipkinc
from skimage.measure import marching_cubes, mesh_surface_area, perimeter_crofton

from medsynth.metrics.anatomy import (
    anatomy_table,
    borders,
    grid_lines,
    roughness,
    smoothed,
    sphericity,
    surface_area,
    topology,
)

SPACINGS = [(1.0, 1.0, 1.0), (1.0, 1.5, 2.5), (0.7, 0.7, 2.5)]


def points(spacing, reach, rng=None):
    """Places of voxels in mm, (*spatial, rank), from -reach to reach; with `rng` turned and moved."""
    sides = [int(np.ceil(2 * reach / step)) + 3 for step in spacing]
    axes = [(np.arange(side) - (side - 1) / 2) * step for side, step in zip(sides, spacing, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    if rng is None:
        return grid
    if len(spacing) == 2:
        turn = rng.uniform(0, np.pi)
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    else:
        matrix = Rotation.random(random_state=rng).as_matrix()
    return (grid + rng.uniform(-0.5, 0.5, len(spacing)) * spacing) @ matrix


def ellipsoid(spacing, axes, rng=None):
    return (((points(spacing, max(axes) + max(spacing), rng)) / axes) ** 2).sum(-1) < 1


def box(spacing, sides, rng=None):
    return (np.abs(points(spacing, np.linalg.norm(sides) / 2 + max(spacing), rng)) < np.array(sides) / 2).all(-1)


def ellipsoid_surface(axes):
    a, b, c = sorted(axes, reverse=True)
    phi = np.arccos(c / a)
    k = a**2 * (b**2 - c**2) / (b**2 * (a**2 - c**2))
    arc = ellipeinc(phi, k) * np.sin(phi) ** 2 + ellipkinc(phi, k) * np.cos(phi) ** 2
    return 2 * np.pi * c**2 + 2 * np.pi * a * b / np.sin(phi) * arc


def mean_error(make, true, spacing, draws=8):
    rng = np.random.default_rng(0)
    found = [surface_area(make(rng), spacing) for _ in range(draws)]
    return np.mean(found) / true - 1, np.abs(np.array(found) / true - 1).max()


@pytest.mark.parametrize("spacing", SPACINGS)
def test_surface_of_turned_balls_ellipsoids_and_boxes(spacing):
    for radius, within in ((6.0, 0.03), (10.0, 0.02)):
        mean, worst = mean_error(
            lambda rng, r=radius: ellipsoid(spacing, (r, r, r), rng), 4 * np.pi * radius**2, spacing
        )
        assert abs(mean) < within
        assert worst < 0.08
    axes = (15.0, 8.0, 6.0)
    mean, worst = mean_error(lambda rng: ellipsoid(spacing, axes, rng), ellipsoid_surface(axes), spacing)
    assert abs(mean) < 0.025
    assert worst < 0.08
    sides = (20.0, 14.0, 12.0)
    mean, worst = mean_error(lambda rng: box(spacing, sides, rng), 2 * (280 + 168 + 240), spacing)
    assert -0.08 < mean < 0
    assert worst < 0.13


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 3.0)])
def test_outline_of_turned_discs_and_ellipses(spacing):
    mean, worst = mean_error(lambda rng: ellipsoid(spacing, (12.0, 12.0), rng), 2 * np.pi * 12, spacing)
    assert abs(mean) < 0.02
    assert worst < 0.05
    ellipse = 4 * 20 * ellipe(1 - (9 / 20) ** 2)
    mean, worst = mean_error(lambda rng: ellipsoid(spacing, (20.0, 9.0), rng), ellipse, spacing)
    assert abs(mean) < 0.03
    assert worst < 0.06


def test_a_triangulated_map_is_too_large_and_a_soft_ball_is_not():
    """What scikit-image gives of the digitised ball, and of one with grey values at its border."""
    grid = points((1.0, 1.0, 1.0), 12)
    distance = 10 - np.sqrt((grid**2).sum(-1))
    true = 4 * np.pi * 100
    plain, soft = (
        mesh_surface_area(*marching_cubes(values, 0.5)[:2])
        for values in ((distance > 0).astype(float), np.clip(distance + 0.5, 0, 1))
    )
    assert plain / true > 1.07
    assert soft / true == pytest.approx(1, abs=0.01)
    assert surface_area(distance > 0, (1, 1, 1)) / soft == pytest.approx(1, abs=0.02)


def test_outline_is_that_of_scikit_image_within_its_coarser_weights():
    for seed in range(5):
        body = gaussian_filter(np.random.default_rng(seed).normal(size=(60, 60)), 4) > 0
        assert surface_area(body, (1, 1)) == pytest.approx(perimeter_crofton(np.pad(body, 1), 4), rel=0.03)


@pytest.mark.parametrize("spacing", [*SPACINGS, (1.0, 2.0), (1.0, 1.0)])
def test_no_plane_is_far_off_and_mirrors_are_exactly_alike(spacing):
    steps, areas = grid_lines(spacing)
    normals = np.random.default_rng(0).normal(size=(2000, len(spacing)))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # Per area, a plane is crossed |n.step| / voxel volume times by the lines of one direction.
    found = (np.abs(normals @ (steps * np.array(spacing)).T) * areas).sum(1) / np.prod(spacing)
    assert found.mean() == pytest.approx(1, abs=0.01)
    assert np.abs(found - 1).max() < (0.09 if len(set(spacing)) == 1 else 0.3)
    body = ellipsoid(spacing, (9.0, 6.0, 5.0)[: len(spacing)], np.random.default_rng(1))
    assert surface_area(body, spacing) == pytest.approx(surface_area(np.flip(body, 0), spacing), rel=1e-9)


def test_surfaces_scale_with_the_voxel():
    body = ellipsoid((1.0, 1.0, 1.0), (8.0, 8.0, 8.0))
    assert surface_area(body, (2, 2, 2)) == pytest.approx(4 * surface_area(body, (1, 1, 1)))
    assert roughness(body, (2, 2, 2)) == pytest.approx(roughness(body, (1, 1, 1)))


def test_sphericity_of_ball_cube_disc_and_square():
    assert sphericity(4 / 3 * np.pi * 27, 4 * np.pi * 9, 3) == pytest.approx(1)
    assert sphericity(8, 24, 3) == pytest.approx((np.pi / 6) ** (1 / 3))
    assert sphericity(np.pi * 9, 6 * np.pi, 2) == pytest.approx(1)
    assert sphericity(4, 8, 2) == pytest.approx(np.sqrt(np.pi) / 2)
    table = anatomy_table(ellipsoid((1.0, 1.5, 2.5), (12, 12, 12)).astype(int)[None], (1,), (1.0, 1.5, 2.5))
    assert table.sphericity[0, 0] == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5), (1.0, 1.0)])
def test_roughness_is_near_0_for_balls_and_grows_with_the_noise_of_the_surface(spacing):
    grid = points(spacing, 14)
    radius = np.sqrt((grid**2).sum(-1))
    rng = np.random.default_rng(0)
    found = [roughness(radius + rng.normal(0, noise, radius.shape) < 11, spacing) for noise in (0, 0.5, 1.0)]
    assert abs(found[0]) < 0.05
    assert found[0] < found[1] - 0.02 < found[2] - 0.1


def test_smoothing_keeps_the_volume():
    body = np.random.default_rng(0).random((12, 14, 10)) > 0.7
    assert abs(int(smoothed(body, (1, 1, 2), 2.0).sum()) - int(body.sum())) < 3


def test_topology_of_known_bodies():
    ball = ellipsoid((1.0, 1.0, 1.0), (8, 8, 8))
    assert topology(ball) == (1, 0, 0, 1)
    hollow = ball.copy()
    middle = ball.shape[0] // 2
    hollow[middle, middle, middle] = False
    assert topology(hollow) == (1, 0, 1, 2)
    torus = ball.copy()
    torus[:, middle - 1 : middle + 2, middle - 1 : middle + 2] = False
    assert topology(torus) == (1, 1, 0, 0)
    two = np.zeros((9, 9, 9), dtype=bool)
    two[1:3, 1:3, 1:3] = two[6:8, 6:8, 6:8] = True
    assert topology(two) == (2, 0, 0, 2)
    ring = np.ones((7, 7), dtype=bool)
    ring[2:5, 2:5] = False
    assert topology(ring) == (1, 0, 1, 0)
    assert topology(ring).holes == 1


def test_corners_connect_the_body_and_not_what_is_around_it():
    """A ring of voxels that meet by corners alone closes a hole; an opening by a corner alone is none."""
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    assert topology(diamond) == (1, 0, 1, 0)
    solid = np.zeros((3, 3, 3), dtype=bool)
    solid[0, 1, 1] = solid[2, 1, 1] = solid[1, 0, 1] = solid[1, 2, 1] = solid[1, 1, 0] = solid[1, 1, 2] = True
    assert topology(solid) == (1, 0, 1, 2)


def boxes():
    """Two boxes face to face, a third one apart; spacing (1, 2, 3)."""
    label = np.zeros((1, 20, 12, 10), dtype=np.int32)
    label[0, 2:8, 2:8, 2:6] = 4
    label[0, 8:12, 2:8, 2:6] = 9
    label[0, 16:18, 2:4, 2:4] = 2
    return label


def test_places_borders_and_touches_of_boxes():
    spacing = (1.0, 2.0, 3.0)
    table = anatomy_table(boxes(), (4, 9, 2), spacing)
    assert table.pairs == [(0, 1), (0, 2), (1, 2)]
    middle = np.array([9.5, 5.5, 4.5])
    np.testing.assert_allclose(table.place[0, 0], (np.array([4.5, 4.5, 3.5]) - middle) * spacing)
    np.testing.assert_allclose(table.offset[0, 0], [5.0, 0.0, 0.0])
    assert table.meeting[0].tolist() == [True, False, False]
    assert table.border[0, 0, 1] == pytest.approx(12 * 12, rel=0.25)  # a plane along the grid, the worst there is
    assert table.border[0, 0, 1] == table.border[0, 1, 0]
    assert table.shared[0, 0] == pytest.approx(table.border[0, 0, 1] / table.surface[0, :2].min())
    assert table.shared[0, 1:].tolist() == [0, 0]


def test_a_border_is_what_both_surfaces_lose_when_the_labels_become_one():
    spacing = (1.0, 1.5, 2.5)
    whole = ellipsoid(spacing, (10.0, 10.0, 10.0))
    label = whole.astype(int)
    label[label.shape[0] // 2 :] *= 2
    table = anatomy_table(label[None], (1, 2), spacing)
    gone = (table.surface[0].sum() - surface_area(whole, spacing)) / 2
    assert table.border[0, 0, 1] == pytest.approx(gone)
    assert gone == pytest.approx(np.pi * 100, rel=0.25)


def test_touching_by_a_corner_counts_and_a_gap_of_a_voxel_does_not():
    label = np.zeros((3, 8, 8), dtype=int)
    label[:, 1:3, 1:3] = 1
    label[0, 3:5, 3:5] = 2
    label[1, 4:6, 1:3] = 2
    table = anatomy_table(label, (1, 2), (1.0, 4.0))
    assert table.meeting[:, 0].tolist() == [True, False, False]
    assert np.isnan(table.shared[2, 0])
    assert np.isnan(table.offset[2, 0]).all()


def test_absent_labels_and_unnamed_values():
    label = boxes()
    table = anatomy_table(np.concatenate([label, label * 0]), (4, 5), (1, 1, 1))
    assert table.present.tolist() == [[True, False], [False, False]]
    assert np.isnan(table.sphericity[0, 1])
    assert np.isnan(table.place[1]).all()
    assert table.euler.tolist() == [[1, 0], [0, 0]]
    assert not table.holes.any()
    alone = anatomy_table(np.where(label == 4, 4, 0), (4, 5), (1, 1, 1))
    assert alone.surface[0, 0] == table.surface[0, 0]  # the box of value 9 beside it is as background


def test_rows_and_orders_of_values():
    label = np.concatenate([boxes(), np.flip(boxes(), 1)])
    one, other = (anatomy_table(label, values, (1, 2, 3)) for values in ((4, 9, 2), (2, 9, 4)))
    np.testing.assert_allclose(one.surface, other.surface[:, ::-1])
    np.testing.assert_allclose(one.take(np.array([1])).place, one.place[1:])
    np.testing.assert_allclose(one.place[0, :, 1:], one.place[1, :, 1:])
    np.testing.assert_allclose(one.place[0, :, 0], -one.place[1, :, 0])
    single = anatomy_table(label, (4,), (1, 2, 3))
    assert single.offset.shape == (2, 0, 3)
    assert single.shared.shape == single.meeting.shape == (2, 0)


def test_a_labels_surface_is_its_row_of_borders():
    indices = np.random.default_rng(0).integers(0, 3, (6, 7, 8))
    areas, pairs = borders(np.pad(indices, 1), 3, (1, 1, 2))
    np.testing.assert_allclose(areas, areas.T)
    assert (pairs == pairs.T).all()
    for value in range(1, 3):
        assert areas[value].sum() == pytest.approx(surface_area(indices == value, (1, 1, 2)))
    assert areas.trace() == 0


@pytest.mark.data
def test_real_hippocampi_are_plain_bodies_that_touch(test_data):
    from nibabel import load

    for path in sorted((test_data / "hippocampus" / "labels").glob("*.nii.gz"))[:8]:
        table = anatomy_table(np.asarray(load(path).dataobj)[None].astype(int), (1, 2), (1, 1, 1))
        assert table.meeting.all()
        assert (table.surface > 500).all()
        assert ((table.sphericity > 0.5) & (table.sphericity < 0.9)).all()
        assert ((table.roughness > 0) & (table.roughness < 0.35)).all()
        assert table.holes.sum() <= 2
