"""Samples that were made from something are judged like any other."""

from functools import partial

import numpy as np
import pytest

from medsynth.data.resampling import Resampling
from medsynth.data.split import SplitPlan
from medsynth.evidence.evaluate import evaluate
from medsynth.generation.plan import EditPlan
from medsynth.generation.run import generate
from medsynth.models.sampling import SamplingPlan
from medsynth.nets.autoencoders import Haar
from medsynth.nets.unet import UNet
from medsynth.training.objective import Objective
from medsynth.training.plan import DataPlan, GivenPlan, ImageInput, Schedule
from medsynth.training.run import train


@pytest.mark.parametrize("take", [("label", "style"), ()])
def test_samples_from_a_label_map_are_evaluated(make_cases, tmp_path, take):
    cases = make_cases(tmp_path / "cases", patients=40, affine=np.eye(4))
    train(
        cases,
        tmp_path / "run",
        data=DataPlan(
            images=(ImageInput(name="image", kind="window", low=-50, high=250),),
            label=None,
            given=GivenPlan(label="label"),
            style=True,
            resampling=Resampling(orientation=None, spacing=None, size=(8, 8, 8)),
            split=SplitPlan(validation=0.2, test=0.3),
            batch_size=2,
        ),
        autoencoder=Haar(),
        model=partial(UNet, features=(8, 8), head_channels=8, norm_groups=4),
        objective=Objective(warmup=1),
        trainer=Schedule(steps=2, validate_every=2, checkpoint_every=2, preview_every=2, preview_count=1),
        cache=tmp_path / "cache",
        precision="fp32",
        threads=1,
        progress=False,
    )
    plan = EditPlan(take=take)
    parents = cases if take else None
    sampler = SamplingPlan(steps=2)
    generate(tmp_path / "run", tmp_path / "out", count=12, plan=plan, parents=parents, sampler=sampler, progress=False)
    evaluation = evaluate(tmp_path / "out", cases, tmp_path / "evaluation", permutations=99, splits=20, progress=False)
    assert evaluation.lines()
    assert (tmp_path / "evaluation" / "evaluation.html").exists()
