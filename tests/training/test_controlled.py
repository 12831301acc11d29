"""A finished run, frozen, that learns to follow a label map: from train to load_run and generate."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from medsynth.data.augmentation import Augmentation
from medsynth.data.texts import TextPlan
from medsynth.errors import MedsynthError
from medsynth.generation.plan import EditPlan
from medsynth.generation.run import generate
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import sample_latents
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.models.sealed import read_sealed
from medsynth.nets.autoencoders import Identity
from medsynth.nets.controlled import Controlled
from medsynth.records import CaseRecord, SampleRecord, read_records, write_records
from medsynth.training.objective import Objective
from medsynth.training.plan import GivenPlan, Schedule
from tests.small import list_cleared
from tests.training.mixed import PET, mixed_data, run

STEPS = SamplingPlan(steps=3)
CONTROLLED = partial(Controlled, features=(8, 8), head_channels=8, norm_groups=4)
FREE = {"style": False, "text": TextPlan(), "augmentation": Augmentation(shift=1)}
OBJECTIVE = Objective(warmup=1, learning_rate=1e-2)
OFTEN = Schedule(steps=6, validate_every=2, checkpoint_every=2, preview_every=2, preview_count=1, snapshot_every=2)


def plain(**changes):
    return mixed_data(**{**FREE, "given": GivenPlan(), **changes})


def given(**changes):
    return mixed_data(**{**FREE, "given": GivenPlan(label="label", images=(PET,)), **changes})


@pytest.fixture(scope="module")
def parent(cases):
    """A run on the same cases, when they were trusted and had a licence."""
    records = read_records(cases / "cases.jsonl", CaseRecord)
    write_records(cases / "cases.jsonl", [replace(record, licence="CC-BY-4.0") for record in records])
    run(cases, cases.parent / "parent", plain(), steps=4, objective=OBJECTIVE)
    return cases.parent / "parent"


@pytest.fixture(scope="module")
def steered(cases, parent):
    out = cases.parent / "steered"
    run(cases, out, given(), model=CONTROLLED, init_from=parent, objective=OBJECTIVE, trainer=OFTEN)
    return out


def base_of(model):
    return {name: weight for name, weight in model.network.state_dict().items() if name.startswith("unet.")}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"weights": "last"},
        {"weights": "last", "ema": 0.05},
        {"weights": "last", "ema": 0.2},
        {"weights": "untrained"},
    ],
)
def test_the_base_is_the_parents_to_the_bit(parent, steered, how):
    model, its = load_run(steered, **how).model, load_run(parent).model
    assert_same(base_of(model), base_of(its))
    measured = {name: value for name, value in its.state_dict().items() if not name.startswith("network.")}
    assert_same(measured, {name: model.state_dict()[name] for name in measured})


def test_the_base_is_the_parents_in_every_state_on_disk(parent, steered):
    expected = base_of(load_run(parent).model)
    for path in sorted((steered / "checkpoints").glob("*.ckpt")):
        state = read_sealed(path).content["state_dict"]
        for place in ("model.network.", "average.network.", "narrow."):
            assert_same({name: state[place + name] for name in expected}, expected)
    snapshots = sorted((steered / "weights" / "averages").glob("*.ckpt"))
    assert len(snapshots) == 3
    for path in snapshots:
        for network in read_sealed(path).content["networks"]:
            assert_same({name: network[name] for name in expected}, expected)


def test_the_branch_has_learnt_and_its_averages_differ(steered):
    how = [{"weights": "last"}, {"weights": "untrained"}, {"weights": "last", "ema": 0.05}]
    branches = [
        {name: weight for name, weight in load_run(steered, **each).model.network.branch.named_parameters()}
        for each in how
    ]
    assert any(branches[0][name].any() for name in branches[0] if "controlnet_down_blocks" in name)
    assert not any(branches[1][name].any() for name in branches[1] if "controlnet_down_blocks" in name)
    for other in branches[1:]:
        assert any(not torch.equal(branches[0][name], other[name]) for name in other)


def drawn(model, **given_parts):
    shape = model.layout.grid.shape
    told = model.layout.given.tell(shape, given_parts) if given_parts else None
    return sample_latents(model, [0, 1], [Asked({"class": "a", "age": 50}, given=told)] * 2, seed=0, plan=STEPS)


def test_before_the_first_step_it_samples_what_its_parent_samples(parent, steered):
    expected = drawn(load_run(parent).model)
    untrained, trained = (load_run(steered, weights=name).model for name in ("untrained", "last"))
    picture = torch.ones(1, *trained.layout.grid.shape)
    assert torch.equal(drawn(untrained), expected)
    assert torch.equal(drawn(untrained, pet=picture), expected)
    assert (drawn(trained, pet=picture) - expected).abs().max() > 1e-3
    assert (drawn(trained, pet=picture) - drawn(trained, pet=-picture)).abs().max() > 1e-4


def test_it_is_generated_with_and_previewed(cases, steered, tmp_path):
    assert len(list((steered / "previews").glob("*.png"))) == 3
    take = EditPlan(take=("label",))
    generate(steered, tmp_path / "out", count=3, plan=take, parents=cases, sampler=STEPS, progress=False)
    found = read_records(tmp_path / "out" / "samples.jsonl", SampleRecord)
    assert all(record.parents and record.licences == ("CC-BY-4.0",) for record in found)


def test_a_stopped_training_ends_in_the_same_bits(cases, parent, steered, tmp_path):
    import shutil

    out = shutil.copytree(steered, tmp_path / "run")
    (out / "checkpoints" / "step-00000006.ckpt").unlink()
    settings = {"model": CONTROLLED, "objective": OBJECTIVE, "trainer": OFTEN}
    report = run(cases, out, given(), init_from=parent, **settings)
    assert report.resumed_from == 4
    for name in ("last.ckpt", "best.ckpt", "averages/step-00000006.ckpt"):
        assert (out / "weights" / name).read_bytes() == (steered / "weights" / name).read_bytes()
    with pytest.raises(MedsynthError, match="choose another out"):
        run(cases, out, given(), **settings)


def test_its_origin_is_its_parents_too(cases, parent, tmp_path):
    """Cases that were cleared since do not clear the base that saw them before."""
    import shutil

    cleared = shutil.copytree(cases, tmp_path / "cases")
    records = read_records(cleared / "cases.jsonl", CaseRecord)
    write_records(cleared / "cases.jsonl", [replace(r, identity="cleared", licence="CC0-1.0") for r in records])
    list_cleared(cleared)
    run(cleared, tmp_path / "run", given(), model=CONTROLLED, init_from=parent)
    info = load_run(tmp_path / "run").info
    assert info.identity == "trusted"
    assert info.overrides == ("identity=trust", "uncleared=i_accept")
    assert info.licences == ("CC-BY-4.0", "CC0-1.0")
    assert info.training["init_from"] == load_run(parent).checkpoint


OTHER = "take its data, conditions, augmentation"


@pytest.mark.parametrize(
    ("data", "settings", "said"),
    [
        (given(), {"init_from": None}, "name it with init_from=RUN"),
        (plain(), {}, "set data.given.label or data.given.images"),
        (given(conditions=()), {}, OTHER),
        (given(numbers=()), {}, OTHER),
        (given(style=True), {}, OTHER),
        (given(augmentation=Augmentation()), {}, OTHER),
        (given(augmentation=Augmentation(shift=2)), {}, OTHER),  # as wide
        (given(resampling=replace(given().resampling, size=(8, 8, 12))), {}, OTHER),
        (given(images=(replace(given().images[0], high=200),)), {}, OTHER),
        (given(), {"autoencoder": Identity()}, OTHER),
        (given(), {"parametrisation": ParametrisationPlan(name="flow")}, OTHER),
        (given(), {"model": partial(CONTROLLED, features=(16, 16))}, "network is not the one to be controlled"),
        (given(), {"model": partial(CONTROLLED, norm_groups=2)}, OTHER),
        (given(), {"model": partial(CONTROLLED, head_channels=4)}, OTHER),
        (given(split=replace(given().split, seed=1)), {}, "divided the same patients in another way"),
        (given(label="label", images=given().images, **{"given": GivenPlan(images=(PET,))}), {}, OTHER),
    ],
)
def test_what_cannot_be_steered_is_refused(cases, parent, tmp_path, data, settings, said):
    with pytest.raises(MedsynthError, match=said):
        run(cases, tmp_path / "run", data, **{"model": CONTROLLED, "init_from": parent, **settings})
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_steered_run_is_not_steered_again(cases, steered, tmp_path):
    with pytest.raises(MedsynthError, match="that run is controlled already"):
        run(cases, tmp_path / "run", given(), model=CONTROLLED, init_from=steered)


def test_a_run_that_is_given_something_itself_is_not_steered(cases, tmp_path):
    run(cases, tmp_path / "first", given())
    with pytest.raises(MedsynthError, match=OTHER):
        run(cases, tmp_path / "run", given(), model=CONTROLLED, init_from=tmp_path / "first")
