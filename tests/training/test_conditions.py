"""Conditions from the cases to the samples: trained for a moment, dropped, asked for."""

from dataclasses import replace

import pytest
import torch

from medsynth.data.dataset import Sample
from medsynth.errors import MedsynthError
from medsynth.generation.run import generate
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import sample_latents
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.records import CaseRecord, SampleRecord, read_records, write_records
from medsynth.training.module import DiffusionModule
from medsynth.training.objective import Objective
from medsynth.training.plan import Schedule
from tests.small import small_data, train_small

DATA = small_data(conditions=("class",), numbers=("age",))


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    """Ten patients with an age, the last without."""
    folder = make_cases(tmp_path_factory.mktemp("conditions") / "cases", patients=10)
    records = read_records(folder / "cases.jsonl", CaseRecord)
    aged = [
        replace(record, attributes={**record.attributes, **({"age": 40 + 2 * i} if i < 9 else {})})
        for i, record in enumerate(records)
    ]
    write_records(folder / "cases.jsonl", aged)
    return folder


def run(cases, out, data=DATA, objective=None):
    objective = objective or Objective(warmup=1, drop_each={"age": 0.3})
    trainer = Schedule(steps=4, validate_every=2, checkpoint_every=4, preview_every=4, preview_count=0)
    train_small(cases, out, data, trainer, objective=objective)
    return out


@pytest.fixture(scope="module")
def trained(cases):
    return run(cases, cases.parent / "run")


def test_an_age_is_asked_for_and_recorded(trained, tmp_path):
    generate(trained, tmp_path / "out", count=2, condition={"age": 55}, sampler=SamplingPlan(steps=2), progress=False)
    records = read_records(tmp_path / "out" / "samples.jsonl", SampleRecord)
    assert [record.condition for record in records] == [{"class": "a", "age": 55}, {"class": "b", "age": 55}]


def test_an_age_changes_the_sample_and_none_is_another_thing_than_the_mean(trained):
    model = load_run(trained, weights="last").model
    torch.nn.init.normal_(model.network.unet.out[-1].conv.weight, std=0.1)
    asked = [{}, {"age": model.conditioner.numbers["age"][0]}, {"age": 55}]
    made = [sample_latents(model, [0], [Asked(one)], seed=0, plan=SamplingPlan(steps=2)) for one in asked]
    assert len({latent.sum().item() for latent in made}) == 3


def test_each_attribute_is_dropped_by_itself_and_all_together(trained):
    model = load_run(trained).model
    module = DiffusionModule(
        model, Objective(drop_condition=0.2, drop_each={"age": 0.5}), seed=0, batch_size=4, steps=1
    )
    vector = model.conditioner.vector({"class": "a", "age": 47}).repeat(2000, 1)
    tokens, given, present = torch.ones(2000, 2, 3), torch.ones(2000, 1, 2, 2), torch.ones(2000, 1, dtype=torch.bool)
    batch = Sample(given, vector, tokens, given, present, torch.arange(2000))
    left, words, _, there = module.dropped(batch, list(range(2000)))
    has = {name: left[:, part].abs().sum(1) > 0 for name, part in model.conditioner.parts.items()}
    assert has["class"].float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert has["age"].float().mean().item() == pytest.approx(0.8 * 0.5, abs=0.03)
    assert not (has["age"] & ~has["class"]).any()
    kept = left[has["age"]]
    assert torch.equal(kept, vector[: len(kept)])
    assert torch.equal(module.dropped(Sample(*(part[:3] for part in batch)), [7, 8, 9])[0], left[7:10])
    # What has no drop-out of its own is dropped with all.
    assert torch.equal(there[:, 0], has["class"])
    assert torch.equal(words.sum((1, 2)) > 0, has["class"])


@pytest.mark.parametrize(
    ("data", "objective", "said"),
    [
        ({"numbers": ("weight",)}, {}, "no training case has the attribute weight"),
        ({"numbers": ("class",), "conditions": ()}, {}, "class is a number in 0 training patients"),
        ({"numbers": ("age",), "conditions": ("age",)}, {}, "either a class or a number"),
        ({"numbers": ()}, {"drop_each": {"age": 0.1}}, "not conditioned on age; it knows class"),
    ],
)
def test_conditions_that_do_not_fit(cases, tmp_path, data, objective, said):
    with pytest.raises(MedsynthError, match=said):
        run(cases, tmp_path / "out", replace(DATA, **data), Objective(**objective))


@pytest.mark.parametrize("part", [-0.1, 1.1])
def test_parts_are_parts(part):
    with pytest.raises(MedsynthError, match="drop_each"):
        Objective(drop_each={"age": part})
