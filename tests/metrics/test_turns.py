import numpy as np
import pytest
import torch

from medsynth.metrics.turns import Turn, flips, right_angles, small_rotations, turned


@pytest.mark.parametrize("shape", [(9, 9), (8, 8, 8)])
def test_a_rotation_by_90_degrees_is_a_right_angle(shape) -> None:
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 2, *shape)))
    still = Turn(tuple(range(len(shape))), (False,) * len(shape))
    by_90 = [turned(image, still._replace(degrees=d), (1.0,) * len(shape)).numpy() for d in (90.0, -90.0)]
    known = [np.rot90(image.numpy(), k, axes=(2, 3)) for k in (1, 3)]
    assert min(np.abs(by_90[0] - one).max() for one in known) < 1e-6
    assert np.abs(by_90[0] - by_90[1]).max() > 1
    assert len(right_angles(shape, (1.0,) * len(shape))) == (8 - 4 if len(shape) == 2 else 48 - 8)


def test_a_rotation_is_one_in_mm() -> None:
    """A point on the first axis, 4 mm from the centre, lies 4 mm from it after 90 degrees: at 2 voxels of 2 mm."""
    image = torch.zeros(1, 1, 13, 13)
    image[0, 0, 6 + 4, 6] = 1
    moved = turned(image, Turn((0, 1), (False, False), degrees=90.0), (1.0, 2.0))[0, 0]
    at = np.argwhere(moved.numpy() > 0.5)
    assert [abs(at[0] - 6).tolist()] == [[0, 2]]


def test_every_turn_is_another_and_the_first_is_none() -> None:
    image = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 1, 6, 6, 6)))
    every = [*flips(3), *right_angles((6, 6, 6), (1, 1, 1)), *small_rotations(3, (-5.0, 5.0))]
    made = [turned(image, turn, (1.0, 1.0, 1.0)).numpy() for turn in every]
    assert np.array_equal(made[0], image.numpy())
    assert len({array.tobytes() for array in made}) == len(every) == 48 + 6


def test_axes_change_places_only_where_sides_and_voxels_agree() -> None:
    assert right_angles((6, 8), (1, 1)) == []
    assert right_angles((6, 6), (1, 2)) == []
    assert {turn.axes for turn in right_angles((6, 8, 6), (1, 1, 1))} == {(2, 1, 0)}
