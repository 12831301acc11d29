"""A lattice is seen where there is one: nothing in noise, much in blocks, none when the blocks are of another size."""

import numpy as np
import pytest

from benchmarks.lattice import blocked, by_patient, lattice


@pytest.mark.parametrize("shape", [(256, 256), (48, 48, 48)])
def test_noise_has_none_and_blocks_have_one(shape):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, shape)
    assert lattice(noise, 4) == pytest.approx(0, abs=0.02)
    steps = rng.normal(0, 1, tuple(-(-side // 4) for side in shape))
    for axis in range(len(shape)):
        steps = steps.repeat(4, axis)
    assert lattice(noise + 2 * steps, 4) > 0.3
    assert lattice(noise + 2 * steps, 4) > lattice(noise + 2 * steps, 3) + 0.3


def test_its_size_is_that_of_theory():
    """Inside blocks |N(0, 2)|, across them |N(0, 2 + 2 s^2)| in the mean."""
    rng = np.random.default_rng(1)
    steps = rng.normal(0, 1, (128, 128)).repeat(4, 0).repeat(4, 1)
    found = lattice(rng.normal(0, 1, (512, 512)) + steps, 4)
    assert found == pytest.approx(np.log(np.sqrt(2)), abs=0.02)


def test_the_bad_case_keeps_what_lies_inside_its_blocks():
    image = np.add.outer(np.arange(16.0), np.arange(12.0))
    bad = blocked(image, 4, np.random.default_rng(0))
    offset = (bad - image).reshape(4, 4, 3, 4)
    assert np.ptp(offset, axis=(1, 3)).max() < 1e-9
    assert np.ptp(offset) > 0


def test_a_patients_images_count_once():
    owners = np.array(["b", "a", "b"])
    assert by_patient(np.array([1.0, 5.0, 3.0]), owners).tolist() == [5.0, 2.0]
