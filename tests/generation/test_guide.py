"""A run guided by what it was before: autoguidance by a snapshot of its own."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth.cli.main import main
from medsynth.data.nifti import read_nifti
from medsynth.data.preparation import Preparation
from medsynth.errors import MedsynthError
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.models.sealed import read_sealed
from medsynth.training.objective import Objective
from medsynth.training.plan import Schedule
from tests.generation.edited import make
from tests.small import small_data, train_small

GUIDED = SamplingPlan(steps=3, guidance=2.0)


@pytest.fixture(scope="module")
def run(make_cases, tmp_path_factory):
    """With snapshots of the steps 2, 4 and 6, which learn fast enough to differ."""
    folder = tmp_path_factory.mktemp("snapshots")
    cases = make_cases(folder / "cases", patients=10)
    trainer = Schedule(
        steps=6, validate_every=2, checkpoint_every=6, preview_every=6, preview_count=0, snapshot_every=2
    )
    train_small(cases, folder / "run", small_data(), trainer, objective=Objective(warmup=1, learning_rate=5e-3))
    return folder / "run"


def image(folder, record):
    return read_nifti(folder / record.channels["image"].path).array


def test_a_snapshot_guides_and_is_recorded(run, tmp_path):
    made = {}
    for step in (2, 4, None):
        (record,) = make(run, tmp_path / f"{step}", count=1, guide=run, guide_step=step, sampler=GUIDED, weights="last")
        made[step] = (record, image(tmp_path / f"{step}", record))
    assert len({record.sampler["guide"] for record, _ in made.values()}) == 3
    assert [record.sampler.get("guide_step") for record, _ in made.values()] == [2, 4, None]
    assert not np.array_equal(made[2][1], made[4][1])
    # Guided by itself a run says what it says unguided; by what it was before it does not.
    (free,) = make(run, tmp_path / "free", count=1, sampler=SamplingPlan(steps=3), weights="last")
    unguided = image(tmp_path / "free", free).astype(float)
    assert np.abs(made[None][1] - unguided).max() <= 1
    assert np.abs(made[2][1] - unguided).max() > 1
    with pytest.raises(MedsynthError, match="another run or plan"):
        make(run, tmp_path / "2", count=1, guide=run, guide_step=4, sampler=GUIDED, weights="last")


def test_a_snapshot_is_the_run_as_it_was(run):
    early, last = load_run(run, weights="last", step=2), load_run(run, weights="last")
    content = read_sealed(run / "weights" / "averages" / "step-00000002.ckpt").content
    for name, value in early.model.network.state_dict().items():
        assert torch.equal(value, content["networks"][0][name])
    assert early.facts == {"step": 2}
    assert early.checkpoint != last.checkpoint
    at_the_end = load_run(run, weights="last", step=6)
    assert all(
        torch.equal(a, b)
        for a, b in zip(at_the_end.model.state_dict().values(), last.model.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"guide_step": 2}, r"guide_step is a step of the guide: set guide=RUN too"),
        ({"guide": True, "guide_step": 3}, r"guide_step=3: the run has snapshots of the steps 2, 4, 6; name one"),
        ({"guide": True, "guide_step": -2}, r"guide_step=-2: the run has snapshots of the steps 2, 4, 6; name one"),
    ],
)
def test_a_step_that_is_none_of_the_guides_is_refused(run, tmp_path, settings, says):
    named = {**settings, **({"guide": run} if "guide" in settings else {})}
    with pytest.raises(MedsynthError, match=says):
        make(run, tmp_path / "out", count=1, sampler=GUIDED, **named)
    assert not (tmp_path / "out").exists()


def test_a_run_without_snapshots_has_no_step(trained, tmp_path):
    run = trained("joint")
    with pytest.raises(MedsynthError, match=r"guide_step=2: the run kept no snapshots; train with trainer\.snapshot"):
        make(run, tmp_path / "out", count=1, guide=run, guide_step=2, sampler=GUIDED)


def test_a_step_is_of_the_last_weights(run):
    for how in ({"weights": "best"}, {"weights": "last", "ema": 0.1}):
        with pytest.raises(MedsynthError, match="set weights=last, and no ema"):
            load_run(run, step=2, **how)


def test_the_command_takes_a_step(run, tmp_path):
    words = [f"run={run}", f"guide={run}", "guide_step=4", f"out={tmp_path / 'out'}", "count=1", "device=cpu"]
    assert main(["generate", *words, "sampler.steps=2", "sampler.guidance=1.5", "progress=false"]) == 0


def test_a_guide_that_saw_those_held_out_is_refused(run, tmp_path):
    """The samples are nobody's and train a data set; what is held out for test would be in them."""
    other = shutil.copytree(run, tmp_path / "other")
    preparation = Preparation.read(run)
    replace(preparation, split=replace(preparation.split, seed=preparation.split.seed + 1)).write(other)
    with pytest.raises(MedsynthError, match="has seen some that are held out for test here"):
        make(run, tmp_path / "refused", count=1, guide=other, sampler=GUIDED, weights="last")
    assert not (tmp_path / "refused" / "samples.jsonl").exists()
    fewer = replace(preparation.split, patients=3)
    replace(preparation, split=fewer).write(other)
    make(run, tmp_path / "fewer", count=1, guide=other, sampler=GUIDED, weights="last")
