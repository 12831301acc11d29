"""Gantry tilt: refused with its angle, or taken out so that what lies somewhere stays there."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medsynth.data.dicom import read_dicom
from medsynth.data.tilt import straightened
from medsynth.errors import GeometryError
from medsynth.geometry import DicomPlane, stack_slices

SPACING, GAP, COUNT = (0.7, 0.9), 3.0, 9


def planes(degrees, across=0.0, seed=0, bend=0.0):
    """Slices of a tilted stack: they follow the table, whose direction leans against their normal."""
    turned = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    row, column, normal = turned.T
    lean = np.tan(np.radians(degrees)) * column + np.tan(np.radians(across)) * row
    found = []
    for k in np.random.default_rng(1).permutation(COUNT):
        position = k * GAP * (normal + lean) + bend * (k == 4) * column
        found.append(DicomPlane((*row, *column), tuple(position), SPACING, rows=12, columns=10))
    return found


def ramp(lps):
    """Linear in space, so that linear interpolation changes nothing."""
    return 2.0 * lps[..., 0] - 3.0 * lps[..., 1] + 0.5 * lps[..., 2]


def seen(stacked):
    """The ramp on each slice where that lies, (column, row, slice) in the order of the normal."""
    i, j = np.meshgrid(np.arange(10), np.arange(12), indexing="ij")
    slices = []
    for plane in stacked:
        place = np.array(plane.position) + i[..., None] * SPACING[1] * plane.row_direction
        slices.append(ramp(place + j[..., None] * SPACING[0] * plane.column_direction))
    return np.stack(slices, axis=-1)


@pytest.mark.parametrize(("degrees", "across", "seed"), [(18.5, 0, 0), (-12, 0, 1), (5, -9, 2), (0, 30, 3)])
def test_what_lies_somewhere_stays_there(degrees, across, seed):
    tilted = planes(degrees, across, seed)
    with pytest.raises(GeometryError, match=r"gantry tilt: .*; set tilt=resample"):
        stack_slices(tilted)
    stack = stack_slices(tilted, tilted=True)
    array, geometry = straightened(seen([tilted[index] for index in stack.order]), stack)
    assert array.shape == geometry.shape
    assert geometry.spacing == pytest.approx((SPACING[1], SPACING[0], GAP), abs=1e-6)
    index = np.stack(np.meshgrid(*(np.arange(side) for side in array.shape), indexing="ij"), axis=-1)
    lps = (index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]) * (-1, -1, 1)
    covered = np.abs(array - ramp(lps)) < 1e-6
    # Each slice of 10 x 12 pixels, less the two at the edges that are interpolated with what lies outside.
    assert (covered.sum((0, 1)) >= 9 * 11).all()


def test_a_straight_stack_is_left_alone():
    assert stack_slices(planes(0), tilted=True).drift == (0, 0)


def test_slices_that_do_not_lean_alike_are_refused_all_the_same():
    with pytest.raises(GeometryError, match="shifted slices"):
        stack_slices(planes(10, bend=1.0), tilted=True)


def test_whole_numbers_stay_whole():
    stack = stack_slices(planes(15), tilted=True)
    array, _ = straightened(np.arange(10 * 12 * COUNT, dtype=np.int16).reshape(10, 12, COUNT), stack)
    assert array.dtype == np.int16
    assert array.min() == 0


@pytest.mark.data
def test_a_real_tilted_head_is_straightened(test_data):
    paths = sorted((test_data / "dicom/dicom2nifti_tests/failing/gantrytilting/001").iterdir())
    with pytest.raises(GeometryError, match=r"14\.00 degrees"):
        read_dicom(paths)
    image = read_dicom(paths, tilt="resample")
    assert image.units == "HU"
    assert image.array.dtype == np.int16
    normal = np.cross(image.geometry.affine[:3, 0], image.geometry.affine[:3, 1])
    across = image.geometry.affine[:3, 2]
    assert abs(normal @ across) == pytest.approx(np.linalg.norm(normal) * np.linalg.norm(across), rel=1e-6)
