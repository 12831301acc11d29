"""The seam of an edit: 0 where nothing was edited, known where a step or a texture is put there."""

import numpy as np
import pytest

from medsynth.errors import MedsynthError
from medsynth.metrics.seam import seam

SHAPES = {2: (256, 240), 3: (40, 44, 36)}


def noise(rank, seed=0):
    return np.random.default_rng(seed).normal(size=SHAPES[rank])


def middle(rank, margin=4):
    mask = np.zeros(SHAPES[rank], dtype=bool)
    mask[tuple(slice(side // 4, 3 * side // 4) for side in SHAPES[rank])] = True
    return mask


@pytest.mark.parametrize("rank", [2, 3])
def test_nothing_edited_is_no_seam(rank):
    found = seam(noise(rank), middle(rank))
    assert abs(found.step) < 0.1
    assert abs(found.texture) < 0.12


@pytest.mark.parametrize("rank", [2, 3])
def test_a_step_is_the_ratio_of_differences(rank):
    """White noise: pairs differ by |N(0, 2)| on average 2 / sqrt(pi); a step of 10 makes that 10 about."""
    mask = middle(rank)
    found = seam(noise(rank) + 10 * mask, mask)
    assert found.step == pytest.approx(np.log(10 / (2 / np.sqrt(np.pi))), abs=0.1)
    assert abs(found.texture) < 0.12


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_rougher_inside_is_the_logarithm_of_its_factor(rank, factor):
    mask = middle(rank)
    found = seam(noise(rank) * np.where(mask, factor, 1), mask)
    assert found.texture == pytest.approx(np.log(factor), abs=0.12)


def test_by_hand():
    """0 1 | 4 10 along one line: 3 across, 1 inside, 6 outside."""
    mask = np.array([[True, True, False, False]])
    found = seam(np.array([[0.0, 1.0, 4.0, 10.0]]), mask)
    assert found.step == pytest.approx(np.log(3 / 3.5))
    assert found.texture == pytest.approx(np.log(1 / 6))


def test_units_do_not_matter():
    image, mask = noise(3), middle(3)
    assert seam(image * 1000 - 500, mask) == pytest.approx(seam(image, mask))


def test_what_cannot_be_measured_is_refused():
    thin = np.zeros((8, 8), dtype=bool)
    thin[3, 3] = True
    with pytest.raises(MedsynthError, match="thinner than two voxels"):
        seam(np.random.default_rng(0).normal(size=(8, 8)), thin)
    with pytest.raises(MedsynthError, match="one shape"):
        seam(np.zeros((8, 8)), np.zeros((8, 9), dtype=bool))
