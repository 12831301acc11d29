"""Slices in any order give back the grid they were cut from; what is no grid is refused with its numbers."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medsynth.errors import GeometryError
from medsynth.geometry import (
    LPS_TO_RAS,
    DicomPlane,
    Geometry,
    dicom_planes,
    facing,
    require_straight,
    stack_slices,
)


def oblique(seed: int, left_handed: bool = False) -> Geometry:
    rng = np.random.default_rng(seed)
    direction = Rotation.random(rng=rng).as_matrix()
    if left_handed:
        direction[:, 2] *= -1
    return Geometry.centred(
        rng.integers(1, 600, 3), rng.uniform(0.2, 8, 3), direction=direction, centre=rng.uniform(-300, 300, 3)
    )


def axial(places: list[float], sideways: list[float] | None = None) -> list[DicomPlane]:
    shifts = sideways or [0.0] * len(places)
    return [DicomPlane((1, 0, 0, 0, 1, 0), (x, 0.0, z), (0.5, 0.7), 4, 5) for x, z in zip(shifts, places, strict=True)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shuffled_slices_of_an_oblique_volume_give_it_back(seed):
    geometry = oblique(seed)
    planes = dicom_planes(geometry)
    shuffle = np.random.default_rng(seed).permutation(len(planes))
    stack = stack_slices([planes[i] for i in shuffle], single_slice_mm=geometry.spacing[2])
    assert stack.geometry.is_close(geometry, 1e-4)
    assert shuffle[list(stack.order)].tolist() == list(range(len(planes)))


@pytest.mark.parametrize("seed", range(20))
def test_a_left_handed_volume_comes_back_in_opposite_order_at_the_same_place(seed):
    geometry = oblique(seed, left_handed=True)
    count = geometry.shape[2]
    stack = stack_slices(dicom_planes(geometry), single_slice_mm=geometry.spacing[2])
    assert stack.order == tuple(reversed(range(count)))
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = count - 1
    assert stack.geometry.is_close(Geometry(geometry.shape, geometry.affine @ flip), 1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_positions_written_with_few_digits_still_fit(seed):
    geometry = oblique(seed)
    planes = [
        DicomPlane(
            tuple(round(v, 6) for v in plane.orientation),
            tuple(round(v, 3) for v in plane.position),
            plane.pixel_spacing,
            plane.rows,
            plane.columns,
        )
        for plane in dicom_planes(geometry)
    ]
    stack = stack_slices(planes, single_slice_mm=geometry.spacing[2])
    assert stack.geometry.is_close(geometry, 5e-3)
    require_straight(stack.geometry)
    dicom_planes(stack.geometry)


@pytest.mark.parametrize(("seed", "left_handed"), list(itertools.product(range(8), (False, True))))
def test_simpleitk_sees_every_voxel_where_we_do(seed, left_handed, tmp_path):
    geometry = oblique(seed, left_handed)
    place = geometry.to_lps()
    image = sitk.Image([int(side) for side in (5, 6, 7)], sitk.sitkUInt8)
    image.SetOrigin(place.origin.tolist())
    image.SetSpacing(place.spacing.tolist())
    image.SetDirection(place.direction.ravel().tolist())
    for index in ((0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6), (4, 5, 6)):
        ours = (LPS_TO_RAS @ geometry.affine @ (*index, 1))[:3]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), ours, atol=1e-6)
    back = Geometry.from_lps(
        geometry.shape, image.GetOrigin(), image.GetSpacing(), np.reshape(image.GetDirection(), (3, 3))
    )
    assert back.is_close(geometry, 1e-6)


def test_pixel_spacing_is_between_rows_first():
    geometry = stack_slices(axial([0, 2, 4])).geometry
    assert geometry.shape == (5, 4, 3)
    np.testing.assert_allclose(geometry.spacing, (0.7, 0.5, 2))
    np.testing.assert_allclose(geometry.affine @ (1, 0, 0, 1), (-0.7, 0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(geometry.affine @ (0, 1, 0, 1), (0, -0.5, 0, 1), atol=1e-12)
    np.testing.assert_allclose(geometry.affine @ (0, 0, 1, 1), (0, 0, 2, 1), atol=1e-12)


def test_one_slice_takes_the_spacing_it_is_told():
    assert stack_slices(axial([7])).geometry.spacing == pytest.approx((0.7, 0.5, 1.0))
    assert stack_slices(axial([7]), single_slice_mm=3.3).geometry.spacing[2] == pytest.approx(3.3)


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ([], "without slices"),
        (axial([0, 1, 2, 1]), "duplicate slices: 4 slices at 3 positions"),
        (axial([0, 0, 0]), "duplicate slices: 3 slices at 1 positions"),
        (
            axial([0, 5, 10, 20]),
            r"missing slices: 1, the first after slice 3 .*from 1\): slice gap 10\.00 mm, expected 5\.00",
        ),
        (axial([0, 5, 20, 25, 40]), r"missing slices: 4, the first after slice 2 .*: slice gap 15\.00 mm"),
        (axial([0, 1, 3]), r"missing slices: 1, the first after slice 2 \(counted from 1\): "),
        (axial([0, 2.5, 5, 8.8, 11.3]), r"uneven slices: slice gap 3\.80 mm after slice 3 .*from 1\), expected 2\.50"),
        (axial([sum(1 + 0.0009 * i for i in range(k)) for k in range(90)]), "uneven slices"),
        (axial([0, 5, 15], [0, 0.5, 1.5]), r"missing slices: 1, .*; gantry tilt of 5\.71 degrees besides"),
        (axial([0, 5, 15], [0, 0.5, 3.5]), r"missing slices: 1, .* exclude the case$"),
        (axial([0, 1, 2, 3], [0, 0.1, 0.2, 0.3]), r"gantry tilt: the slices are sheared by 5\.71 degrees"),
        (axial([0, 1, 2, 3, 4], [0, 0, 2, 0, 0]), r"shifted slices: slice 3 \(counted from 1\) lies 1\.60 mm sideways"),
        ([*axial([0, 1]), DicomPlane((1, 0, 0, 0, 0, -1), (0, 0, 2), (0.5, 0.7), 4, 5)], "mixed orientation: .* 90.0"),
        ([*axial([0, 1]), DicomPlane((1, 0, 0, 0, 1, 0), (0, 0, 2), (0.5, 0.7), 4, 6)], "slices of 4x5 and 4x6"),
        ([*axial([0, 1]), DicomPlane((1, 0, 0, 0, 1, 0), (0, 0, 2), (0.5, 0.8), 4, 5)], "mixed pixel spacing"),
    ],
)
def test_what_is_no_grid_is_refused_with_its_numbers(planes, message):
    with pytest.raises(GeometryError, match=message):
        stack_slices(planes)


def test_gantry_tilt_of_an_eighth_of_a_degree_over_a_long_stack_is_seen():
    places = [3.0 * k for k in range(100)]
    stack_slices(axial(places))
    with pytest.raises(GeometryError, match=r"gantry tilt: .* 0\.12 degrees"):
        stack_slices(axial(places, [np.tan(np.radians(0.12)) * z for z in places]))


@pytest.mark.parametrize(
    "change",
    [
        {"orientation": (1, 0, 0, 0, 1)},
        {"orientation": (1, 0, 0, 0, float("nan"), 0)},
        {"orientation": (1, 0, 0, 0, 1.01, 0)},
        {"orientation": (1, 0, 0, 0.01, 1, 0)},
        {"orientation": (0, 0, 0, 0, 0, 0)},
        {"position": (0, 0)},
        {"position": (0, float("inf"), 0)},
        {"pixel_spacing": (0.5, 0.0)},
        {"rows": 0},
    ],
)
def test_a_plane_is_valid_once_constructed(change):
    good = {"orientation": (1, 0, 0, 0, 1, 0), "position": (0, 0, 0), "pixel_spacing": (1, 1), "rows": 2, "columns": 2}
    DicomPlane(**good)
    with pytest.raises(GeometryError):
        DicomPlane(**{**good, **change})


def test_sheared_grids_cannot_become_dicom():
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[1, 2] = 0.5
    with pytest.raises(GeometryError, match="sheared by 9"):
        dicom_planes(Geometry((4, 4, 4), affine))


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((4,), np.eye(4)),
        ((4, 0, 4), np.eye(4)),
        ((4, 4, 4), np.eye(3)),
        ((4, 4, 4), np.diag([1.0, 1.0, 0.0, 1.0])),
        ((4, 4, 4), np.full((4, 4), np.nan)),
        ((4, 4, 4), np.diag([1.0, 1.0, 1.0, 2.0])),
    ],
)
def test_a_geometry_is_valid_once_constructed(shape, affine):
    with pytest.raises(GeometryError):
        Geometry(shape, affine)


def test_records_are_exact_and_refuse_strangers():
    geometry = oblique(3)
    back = Geometry.from_record(geometry.to_record())
    assert back.shape == geometry.shape
    assert (back.affine == geometry.affine).all()
    with pytest.raises(GeometryError):
        Geometry.from_record({**geometry.to_record(), "patient": "x"})


def test_a_picture_lies_as_itk_places_it(tmp_path):
    sitk.WriteImage(sitk.Image(5, 3, sitk.sitkUInt8), str(tmp_path / "a.png"))
    image = sitk.ReadImage(str(tmp_path / "a.png"))
    place = Geometry.image_plane((5, 3)).to_lps()
    np.testing.assert_allclose(place.origin[:2], image.GetOrigin())
    np.testing.assert_allclose(place.direction[:2, :2].ravel(), image.GetDirection())


@pytest.mark.parametrize("plane", ["native", "axial", "sagittal", "coronal"])
@pytest.mark.parametrize("left_handed", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_a_turned_volume_has_every_voxel_where_it_was(seed, left_handed, plane):
    random = oblique(seed, left_handed)
    geometry = Geometry((4, 5, 6), random.affine)
    array = np.arange(120).reshape(4, 5, 6)
    turn = facing(geometry, plane)
    turned = turn.turned(array)
    assert turned.shape == turn.geometry.shape
    for index in itertools.product(*(range(side) for side in turned.shape)):
        place = turn.geometry.affine @ (*index, 1)
        there = np.rint(np.linalg.inv(geometry.affine) @ place)[:3].astype(int)
        assert array[tuple(there)] == turned[index]
    assert np.linalg.det(turn.geometry.affine[:3, :3]) > 0
    codes = turn.geometry.axcodes
    assert codes[:2] in {"native": ("LP", "PI", "LI"), "axial": ("LP",), "sagittal": ("PI",), "coronal": ("LI",)}[plane]
    assert plane != "native" or turn.order[2] == 2


def test_a_plane_is_turned_as_a_volume_of_one_slice():
    picture = Geometry.image_plane((4, 3), (0.5, 0.8))
    assert facing(picture).order == (0, 1, 2)
    assert facing(picture).flipped == (False, False, False)
    assert facing(picture).turned(np.zeros((4, 3))).shape == (4, 3, 1)
