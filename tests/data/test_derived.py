"""What the geometry of a case tells: voxel sizes along the patient's axes, and where a slice lies."""

from itertools import permutations, product

import numpy as np
import pytest

from medsynth.data.derived import DERIVED, attributes_of
from medsynth.data.resampling import Resampling, SlicePlan
from medsynth.geometry import Geometry
from medsynth.records import CaseRecord, Channel

VOLUMES = Resampling(orientation="RAS", spacing=None, size=(8, 8, 8))


def case(affine, shape=(10, 12, 14), **attributes):
    channel = Channel(path="x.nii.gz", kind="image", units="HU", sha256="a" * 64)
    return CaseRecord(
        id="case",
        patient="patient",
        patient_source="dicom",
        identity="trusted",
        channels={"image": channel},
        geometry=Geometry(shape, affine),
        attributes=attributes,
    )


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_voxel_sizes_follow_the_patients_axes(order, signs):
    """Whatever the order and the direction of the array's axes; RAS, LPS and a coronal acquisition among them."""
    sizes = (0.5, 0.75, 3.0)  # right-left, back-front, feet-head
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (way, sign) in enumerate(zip(order, signs, strict=True)):
        affine[way, axis] = sign * sizes[way]
    told = attributes_of(case(affine), VOLUMES)
    assert {name: told[name] for name in DERIVED[:3]} == dict(zip(DERIVED[:3], sizes, strict=True))
    assert "slice_position" not in told


def test_oblique_scans_have_the_sizes_of_their_nearest_axes():
    turn = np.radians(30)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) * (
        1,
        2,
        5,
    )
    told = attributes_of(case(affine), VOLUMES)
    assert [told[name] for name in DERIVED[:3]] == pytest.approx([1, 2, 5])


def test_pictures_have_two_sizes():
    told = attributes_of(case(np.diag([0.2, 0.3, 1, 1]), shape=(10, 12)), VOLUMES)
    assert sorted(told.values()) == pytest.approx([0.2, 0.3])
    assert "spacing_z" not in told


def test_an_attribute_of_the_same_name_goes_first():
    told = attributes_of(case(np.eye(4), spacing_z=7.5, age=3), VOLUMES)
    assert told["spacing_z"] == 7.5
    assert told["spacing_x"] == 1
    assert told["age"] == 3
    cut = Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=SlicePlan(plane="axial"))
    assert attributes_of(case(np.eye(4), slice_position=0.9), cut, 0, 4)["slice_position"] == 0.9


@pytest.mark.parametrize(("low", "high", "parts"), [(0.0, 1.0, 4), (0.25, 0.75, 2), (0.5, 0.6, 1)])
def test_each_slice_has_its_place(low, high, parts):
    plan = SlicePlan(plane="coronal", low=low, high=high)
    cut = Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=plan)
    places = [attributes_of(case(np.eye(4)), cut, part, parts)["slice_position"] for part in range(parts)]
    assert places == pytest.approx([low + (high - low) * (part + 0.5) / parts for part in range(parts)])
    assert all(low < place < high for place in places)


def test_places_of_slices_are_those_that_are_cut():
    """Where the extent divides by the step, the middle of each slice's share of it."""
    plan = SlicePlan(plane="axial", low=0.25, high=0.75, step=1)
    cut = Resampling(orientation="RAS", spacing=None, size=(8, 8), slices=plan)
    positions = plan.positions((10, 12, 16))
    for part, position in enumerate(positions):
        told = attributes_of(case(np.eye(4)), cut, part, len(positions))
        assert told["slice_position"] == pytest.approx((position + 0.5) / 16)


def test_a_blank_cell_does_not_hide_what_the_geometry_tells():
    affine = np.diag([0.5, 0.75, 3.0, 1.0])
    told = attributes_of(case(affine, spacing_z=None, age=None), VOLUMES)
    assert told["spacing_z"] == 3.0
    assert told["age"] is None
    assert attributes_of(case(affine, spacing_z=5.0), VOLUMES)["spacing_z"] == 5.0
