"""Sizes are those of theory for noise, straight lines come back, and what is cut stays in its place."""

import numpy as np
import pytest

from benchmarks.thin_slices import cut, error, interpolated, repeated, sizes, thick
from medsynth.data.nifti import Stored
from medsynth.geometry import Geometry


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_noise_is_as_rough_across_as_along_and_what_lies_between_own_slices_is_told_apart(axis):
    noise = np.moveaxis(np.random.default_rng(0).normal(0, 1, (41, 40, 40)), 0, axis)
    assert sizes(noise, axis, 4) == pytest.approx((0, 0), abs=0.02)
    through, within = sizes(interpolated(noise, axis, 4), axis, 4)
    assert through == pytest.approx(np.log(1 / 4), abs=0.03)  # a quarter of a step each
    # standard deviations of means of two with weights 1/4, 1/2 and 3/4, in place of 1
    assert within == pytest.approx(np.log((2 * np.sqrt(10) / 4 + np.sqrt(0.5)) / 3), abs=0.02)
    through, within = sizes(repeated(noise, axis, 4), axis, 4)
    assert through == pytest.approx(np.log(1 / 4), abs=0.03)  # one step in four
    assert within == pytest.approx(0, abs=0.03)


def test_a_straight_line_comes_back_and_own_slices_stay():
    ramp = np.arange(13.0)[None, None] * np.ones((5, 6, 1)) + np.arange(5.0)[:, None, None]
    np.testing.assert_allclose(interpolated(ramp, 2, 4), ramp)
    noise = np.random.default_rng(1).normal(0, 1, (5, 13, 6))
    for way in (interpolated, repeated):
        np.testing.assert_array_equal(way(noise, 1, 4)[:, ::4], noise[:, ::4])


def test_an_error_counts_the_slices_between_alone():
    truth = np.random.default_rng(2).normal(0, 1, (9, 6, 6))
    off = truth + 3
    off[::4] = 99
    assert error(off, truth, 0, 4) == pytest.approx(3 / truth.std())


def test_what_is_cut_and_made_thick_stays_in_its_place():
    affine = np.array([[0, 0, 1.0, -7], [-1.0, 0, 0, 40], [0, 1.0, 0, 3], [0, 0, 0, 1]])  # axes: A P, I S, R L
    array = np.random.default_rng(3).integers(0, 1000, (20, 30, 24)).astype(np.int16)
    grid = Geometry.centred((12, 16, 18), (1, 1, 1))
    fine = cut(Stored(array, 1.0, 0.0, Geometry(array.shape, affine)), grid, 1, 4)
    assert fine.array.shape == (16, 17, 12)  # P A has 16, S I 18, of which 4 x 4 + 1, R L 12
    coarse = thick(fine, 1, 4)
    assert coarse.array.shape == (16, 5, 12)
    for at in ((0, 0, 0), (3, 4, 11)):
        x = np.linalg.solve(affine, coarse.geometry.affine @ [*at, 1])[:3]
        assert np.allclose(x, np.rint(x))
        assert coarse.array[at] == array[tuple(np.rint(x).astype(int))]


def test_a_scan_of_other_voxels_or_too_few_slices_is_left_out():
    array = np.zeros((20, 20, 20))
    grid = Geometry.centred((16, 16, 16), (1, 1, 1))
    assert cut(Stored(array, 1.0, 0.0, Geometry.centred((20, 20, 20), (1, 1, 1.5))), grid, 2, 4) is None
    assert cut(Stored(array[:, :, :4], 1.0, 0.0, Geometry.centred((20, 20, 4), (1, 1, 1))), grid, 2, 4) is None
