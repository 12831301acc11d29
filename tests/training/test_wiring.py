"""What reaches the optimiser and the disk: the learning rate of a step, the clipped gradient, the newest states."""

import math

import pytest

from medsynth.models.sealed import read_sealed
from medsynth.training.objective import Objective
from medsynth.training.plan import Schedule
from tests.small import small_data, train_small

STEPS, RATE, CLIP = 6, 1e-3, 0.01


@pytest.fixture(scope="module")
def states(make_cases, tmp_path_factory):
    """Number of steps -> the state that is on disk when three were written."""
    folder = tmp_path_factory.mktemp("wiring")
    train_small(
        make_cases(folder / "cases"),
        folder / "run",
        small_data(label="label"),
        Schedule(steps=STEPS, validate_every=2, checkpoint_every=2, preview_every=6, preview_count=0),
        objective=Objective(learning_rate=RATE, warmup=3, clip=CLIP),
    )
    files = (folder / "run" / "checkpoints").iterdir()
    return {int(path.stem.removeprefix("step-")): read_sealed(path).content for path in files}


def test_the_two_newest_states_are_kept(states):
    assert sorted(states) == [4, 6]


@pytest.mark.parametrize("step", [4, 6])
def test_the_learning_rate_moves_with_every_step(states, step):
    """Past the warm-up it is on the half cosine from the full rate to a twentieth of it at the last step."""
    (group,) = states[step]["optimizer_states"][0]["param_groups"]
    assert group["lr"] == pytest.approx(RATE * (0.525 + 0.475 * math.cos(math.pi * step / STEPS)), rel=1e-6)


@pytest.mark.parametrize("step", [4, 6])
def test_no_gradient_is_longer_than_the_clip(states, step):
    """Adam's running mean of gradients no longer than the clip is shorter than the clip."""
    moments = states[step]["optimizer_states"][0]["state"].values()
    length = math.sqrt(sum(moment["exp_avg"].square().sum().item() for moment in moments))
    assert 0.1 * CLIP < length < CLIP * (1 - 0.9**step) * 1.001
