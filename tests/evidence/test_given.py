"""Samples that were made from something are judged like any other."""

import numpy as np
import pytest

from medsynth.data.split import SplitPlan
from medsynth.evidence.evaluate import evaluate
from medsynth.generation.plan import EditPlan
from medsynth.generation.run import generate
from medsynth.models.sampling import SamplingPlan
from medsynth.training.objective import Objective
from medsynth.training.plan import GivenPlan, Schedule
from tests.small import small_data, train_small


@pytest.mark.parametrize("take", [("label", "style"), ()])
def test_samples_from_a_label_map_are_evaluated(make_cases, tmp_path, take):
    cases = make_cases(tmp_path / "cases", patients=40, affine=np.eye(4))
    data = small_data(given=GivenPlan(label="label"), style=True, split=SplitPlan(validation=0.2, test=0.3))
    trainer = Schedule(steps=2, validate_every=2, checkpoint_every=2, preview_every=2, preview_count=1)
    train_small(cases, tmp_path / "run", data, trainer, objective=Objective(warmup=1))
    plan = EditPlan(take=take)
    parents = cases if take else None
    sampler = SamplingPlan(steps=2)
    generate(tmp_path / "run", tmp_path / "out", count=12, plan=plan, parents=parents, sampler=sampler, progress=False)
    evaluation = evaluate(tmp_path / "out", cases, tmp_path / "evaluation", permutations=99, splits=20, progress=False)
    assert evaluation.lines()
    assert (tmp_path / "evaluation" / "evaluation.html").exists()
