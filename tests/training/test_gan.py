"""A GAN's training: the same run folder, the same bits after a stop, in 2D and 3D; settings that do not go together."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from medsynth.data.augmentation import Augmentation
from medsynth.data.resampling import Resampling
from medsynth.errors import MedsynthError
from medsynth.generation.plan import EditPlan
from medsynth.generation.run import generate
from medsynth.models.gan import GanModel
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import load_run
from medsynth.models.sampling import SamplingPlan
from medsynth.models.sealed import read_sealed
from medsynth.nets.discriminator import Discriminator
from medsynth.nets.generator import Generator
from medsynth.records import SampleRecord, read_records
from medsynth.training.gan_module import GanModule
from medsynth.training.gan_objective import GanObjective
from medsynth.training.objective import Objective
from medsynth.training.plan import GivenPlan, Schedule
from tests.small import small_data, train_small
from tests.training.resumed import KilledError, weights

NETS = {"features": (16, 16), "blocks": 1, "group_width": 8}
SETTINGS = {
    "model": partial(Generator, noise=8, **NETS),
    "discriminator": partial(Discriminator, **NETS),
    "objective": GanObjective(learning_rate=1e-3, validation_draws=2),
}
DATA = small_data(label="label", conditions=("class",), augmentation=Augmentation(shift=1))
FLAT = small_data(
    label="label", conditions=("class",), resampling=Resampling(orientation=None, spacing=None, size=(10, 14))
)


def run(cases, out, data=DATA, steps=6, **settings):
    trainer = Schedule(steps=steps, validate_every=2, checkpoint_every=2, preview_every=6, preview_count=1)
    return train_small(cases, out, data, trainer, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def cases(make_cases, tmp_path_factory):
    return make_cases(tmp_path_factory.mktemp("gan") / "cases", patients=16)


@pytest.fixture(scope="module")
def whole(cases):
    run(cases, cases.parent / "whole")
    return cases.parent / "whole"


@pytest.fixture(scope="module")
def flat(make_cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flat")
    cases = make_cases(folder / "cases", patients=16, shape=(12, 12), affine=np.diag([0.5, 0.5, 1, 1]))
    run(cases, folder / "run", FLAT)
    return folder / "run"


def test_the_run_is_a_gan_and_keeps_no_discriminator(whole):
    loaded = load_run(whole)
    assert isinstance(loaded.model, GanModel)
    content = json.loads((whole / "run.json").read_text())
    assert content["parametrisation"] is None
    assert content["network"]["_target_"] == "medsynth.nets.generator.Generator"
    assert content["info"]["training"]["discriminator"]["features"] == [16, 16]
    assert not any("discriminator" in name for name in weights(whole))
    assert set(loaded.facts) == {"step", "validation_loss"}
    assert list((whole / "previews").iterdir())


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_training_ends_in_the_same_bits(cases, whole, tmp_path, monkeypatch, workers):
    original = GanModule.training_step

    def dying(self, batch, batch_idx):
        if self.global_step == 5:  # a step that no state holds
            raise KilledError
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(GanModule, "training_step", dying)
        with pytest.raises(KilledError):
            run(cases, tmp_path / "run", workers=workers)
    assert run(cases, tmp_path / "run", workers=workers).resumed_from == 4
    for name in ("last", "best"):
        expected, got = weights(whole, name), weights(tmp_path / "run", name)
        assert all(torch.equal(expected[key], got[key]) for key in expected), name
    a, b = (read_sealed(folder / "checkpoints" / "step-00000006.ckpt").content for folder in (whole, tmp_path / "run"))
    assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])
    assert any(key.startswith("discriminator.") for key in a["state_dict"])
    for one, other in zip(a["optimizer_states"], b["optimizer_states"], strict=True):
        assert all(torch.equal(one["state"][i]["exp_avg_sq"], other["state"][i]["exp_avg_sq"]) for i in one["state"])
    assert a["global_step"] == 6


def test_both_networks_learn(cases, whole, tmp_path):
    untrained, trained = (load_run(whole, weights=name).model.network.state_dict() for name in ("untrained", "last"))
    assert any(not torch.equal(untrained[name], trained[name]) for name in trained)
    first, last = (read_sealed(path).content["state_dict"] for path in sorted((whole / "checkpoints").glob("*.ckpt")))
    names = [name for name in first if name.startswith("discriminator.")]
    assert all(not torch.equal(first[name], last[name]) for name in names)
    run(cases, tmp_path / "other", seed=1)
    pairs = zip(weights(whole).values(), weights(tmp_path / "other").values(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("kind", ["whole", "flat"])
def test_generate_works_unchanged(kind, request, tmp_path):
    folder = request.getfixturevalue(kind)
    loaded = load_run(folder)
    for name, batch in (("alone", 1), ("together", 4)):
        generate(folder, tmp_path / name, count=4, seed=3, batch_size=batch, progress=False)
    first, second = (read_records(tmp_path / name / "samples.jsonl", SampleRecord) for name in ("alone", "together"))
    assert [record.condition["class"] for record in first] == ["a", "b", "a", "b"]
    assert all(record.sampler == {"name": "gan", "weights": "best", "ema": None} for record in first)
    assert all(record.checkpoint == loaded.checkpoint for record in first)
    assert {name for record in first for name in record.channels} == {"image", "label"}
    noise = [loaded.model.sample(1, seed=3, first=index)[0].images["image"] for index in range(4)]
    together = [sample.images["image"] for sample in loaded.model.sample(4, seed=3, batch=4)]
    for one, other in zip(noise, together, strict=True):
        assert np.abs(one.astype(float) - other).max() <= 1
    assert not np.array_equal(noise[0], noise[2])
    again = generate(folder, tmp_path / "alone", count=4, seed=3, progress=False)
    assert again.made == 0
    assert [record.index for record in second] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampler": SamplingPlan(steps=4)}, "leave sampler out"),
        ({"sampler": SamplingPlan(name="heun", steps=18)}, "leave sampler out"),
        ({"sampler": SamplingPlan(guidance=2.0)}, "leave sampler out"),
        ({"plan": EditPlan(edit="variations")}, "plan.edit=variations needs a diffusion model"),
        ({"plan": EditPlan(edit="thin_slices")}, "plan.edit=thin_slices needs a diffusion model"),
        ({"plan": EditPlan(edit="image_to_image")}, "needs a diffusion model"),
        ({"plan": EditPlan(take=("label",))}, "can be told nothing"),
    ],
)
def test_what_needs_a_diffusion_model_is_refused(whole, cases, tmp_path, settings, said):
    with pytest.raises(MedsynthError, match=said):
        generate(whole, tmp_path / "out", count=2, parents=cases, progress=False, **settings)
    assert not (tmp_path / "out").exists()


def test_a_guide_is_refused(whole, tmp_path):
    with pytest.raises(MedsynthError, match="guide needs a diffusion model"):
        generate(whole, tmp_path / "out", count=2, guide=whole, progress=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"objective": Objective()}, "objective=gan discriminator=gan"),
        ({"discriminator": None}, "objective=gan discriminator=gan"),
        ({"parametrisation": ParametrisationPlan()}, "parametrisation=null"),
        ({"init_from": "run"}, "keeps no discriminator"),
        ({"model": None}, "are of model=gan"),
    ],
)
def test_settings_of_two_kinds_are_refused(cases, tmp_path, settings, said):
    from tests.small import NETWORK

    changed = {**settings, "model": NETWORK} if "model" in settings else settings
    with pytest.raises(MedsynthError, match=said):
        run(cases, tmp_path / "run", **changed)
    assert not (tmp_path / "run").exists()


def test_given_parts_and_sides_that_do_not_halve_are_refused(cases, tmp_path):
    with pytest.raises(MedsynthError, match=r"data\.given"):
        run(cases, tmp_path / "run", small_data(given=GivenPlan(label="label")))
    odd = small_data(resampling=Resampling(orientation=None, spacing=None, size=(8, 7, 8)))
    with pytest.raises(MedsynthError, match=r"does not divide by 2, the autoencoder's halvings"):
        run(cases, tmp_path / "run", odd)


def test_a_description_of_another_kind_is_refused(whole, tmp_path):
    from medsynth.errors import RunError

    copy = tmp_path / "run"
    copy.mkdir()
    content = json.loads((whole / "run.json").read_text())
    network = content["network"]
    for change in (
        {"parametrisation": ParametrisationPlan(modes=0).to_json()},
        {"network": {**network, "grid": [4, 4, 2]}},
        {"network": {**network, "vector": 1}},
    ):
        (copy / "run.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(RunError):
            load_run(copy)


def test_without_penalties_none_are_computed(cases, tmp_path):
    run(cases, tmp_path / "run", objective=GanObjective(gamma=0, gamma_end=0), steps=2)
    assert isinstance(load_run(tmp_path / "run").model, GanModel)
