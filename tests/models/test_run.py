"""Run folders: what was saved is loaded, and what is hostile or damaged is refused in one line."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from medsynth.errors import MedsynthError, RunError
from medsynth.geometry import Geometry
from medsynth.models.conditioner import Conditioner
from medsynth.models.layout import ImageChannel, LabelChannel, Layout
from medsynth.models.model import DiffusionModel
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import RunInfo, load_run, read_run, save_run, save_weights
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.unet import UNet

INFO = RunInfo(
    cases_sha256="a" * 64,
    identity="trusted",
    overrides=("identity=trust",),
    licences=("CC-BY-4.0",),
    patients={"train": 4, "validation": 1, "test": 1},
    training={"seed": 0},
)
LAYOUT = Layout(
    images=(ImageChannel(name="ct", units="HU", low=-100, high=100, integer=True),),
    label=LabelChannel(name="label", values={0: "background", 1: "ball"}),
    grid=Geometry.centred((8, 8), (1, 1)),
)


def model(autoencoder=None, features=(8, 8)):
    autoencoder = autoencoder or Haar()
    torch.manual_seed(3)
    conditioner = Conditioner({"class": ["a", "b"]})
    network = UNet(
        2, autoencoder.latent_channels(3, 2), views=2, vector=4, features=features, head_channels=8, norm_groups=4
    )
    made = DiffusionModel(
        LAYOUT, autoencoder, network, conditioner, augmentation=2, parametrisation=ParametrisationPlan(modes=2)
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    made.fit_latents(iter([torch.randn(40, 3, 8, 8)]), range(40))
    assert torch.count_nonzero(made.prior.variances) == 2
    return made.eval()


@pytest.fixture
def run(tmp_path):
    made = model()
    save_run(tmp_path / "run", made, INFO)
    save_weights(tmp_path / "run", "best", made, {"step": 3, "validation_loss": 0.5})
    save_weights(tmp_path / "run", "last", made, {"step": 4, "validation_loss": 0.6})
    return tmp_path / "run"


@pytest.mark.parametrize("autoencoder", [Identity(), Haar(2)])
def test_every_autoencoder_is_loaded_again(tmp_path, autoencoder):
    made = model(autoencoder)
    save_run(tmp_path / "run", made, INFO)
    save_weights(tmp_path / "run", "best", made, {"step": 3, "validation_loss": 0.5})
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(load_run(tmp_path / "run").model.encode(x), made.encode(x))


def test_what_was_saved_is_loaded(run):
    expected, loaded = model(), load_run(run)
    assert {name: value.tolist() for name, value in loaded.model.state_dict().items()} == {
        name: value.tolist() for name, value in expected.state_dict().items()
    }
    assert loaded.info == INFO
    assert loaded.facts == {"step": 3, "validation_loss": 0.5}
    assert load_run(run, weights="last").facts["step"] == 4
    assert load_run(run).checkpoint != load_run(run, weights="last").checkpoint
    assert not loaded.model.training
    first, again = (made.sample(2, seed=1, steps=3, condition={"class": "b"}) for made in (expected, loaded))
    for one, other in zip(first, again, strict=True):
        assert (one.images["ct"] == other.images["ct"]).all()
        assert (one.label == other.label).all()


def test_untrained_is_a_control(run):
    control, again, trained = (load_run(run, weights=name).model for name in ("untrained", "untrained", "last"))
    assert torch.equal(control.sigma_data, trained.sigma_data)
    assert torch.equal(control.latent_mean, trained.latent_mean)
    theirs = dict(trained.network.named_parameters())
    assert not any(
        torch.equal(value, theirs[name]) for name, value in control.network.named_parameters() if value.numel() > 64
    )
    assert all(
        torch.equal(a, b) for a, b in zip(control.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_loading_leaves_the_random_numbers_alone(run):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_run(run)
    assert torch.equal(torch.rand(3), expected)


def test_weights_of_another_run_are_refused(run, tmp_path):
    for other in (model(features=(8, 16)), model(Identity())):
        save_weights(run, "best", other, {"step": 1})
        with pytest.raises(RunError, match="do not fit the run's description"):
            load_run(run)
    (run / "weights" / "best.ckpt").unlink()
    with pytest.raises(RunError, match="missing"):
        load_run(run)
    with pytest.raises(MedsynthError, match="weights is one of best, last, untrained"):
        load_run(run, weights="../../x")


@pytest.mark.parametrize("device", ["gpu", "mps", "", "cuda"])
def test_devices_that_are_not_there(run, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(MedsynthError, match="device"):
        load_run(run, device=device)


class Sneaky:
    """Stands for any class that a run could name."""

    made = 0

    def __init__(self):
        type(self).made += 1


def altered(run, **changes):
    content = json.loads((run / "run.json").read_text())
    for name, value in changes.items():
        content[name] = value
    (run / "run.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "medsynth.nets.unet.os.system",
        "medsynth.models.sealed.pickle.loads",
        "torch.load",
        "medsynth.files.write_text",
        "sneaky.Sneaky",
        "UNet",
        "",
        None,
        ["medsynth.nets.unet.UNet"],
    ],
)
@pytest.mark.parametrize("part", ["network", "autoencoder", "conditioner"])
def test_only_names_on_the_list_are_made(run, part, target, monkeypatch):
    monkeypatch.setitem(sys.modules, "sneaky", sys.modules[__name__])
    altered(run, **{part: {"_target_": target}})
    with pytest.raises(RunError, match="allow-list"):
        load_run(run)
    assert Sneaky.made == 0


def test_a_run_of_the_schema_before_is_read_where_no_image_is_given(run):
    new = load_run(run)
    altered(run, schema="medsynth.run/4")
    old = load_run(run)
    assert old.checkpoint == new.checkpoint
    assert old.model.layout.to_json() == new.model.layout.to_json()


class Own(UNet):
    """A user's own network."""


def test_a_name_that_the_user_allows_is_made(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "own", sys.modules[__name__])
    network = json.loads((run / "run.json").read_text())["network"]
    altered(run, network={**network, "_target_": "own.Own"})
    with pytest.raises(RunError, match="allow-list"):
        load_run(run)
    assert isinstance(load_run(run, allow=["own.Own"]).model.network, Own)


GOOD = LAYOUT.to_json()
PLAN = ParametrisationPlan(modes=2).to_json()


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"schema": "medsynth.run/1"},
        {"augmentation": "x"},
        {"augmentation": None},
        {"augmentation": -1},
        {"parametrisation": {**PLAN, "modes": -1}},
        {"parametrisation": {**PLAN, "modes": True}},
        {"parametrisation": {**PLAN, "modes": None}},
        {"parametrisation": {**PLAN, "modes": 10**9}},
        {"parametrisation": {**PLAN, "modes": 3}},
        {"parametrisation": {**PLAN, "name": "other"}},
        {"parametrisation": {**PLAN, "name": "flow", "modes": 0}},
        {"parametrisation": {**PLAN, "name": "v", "modes": 0, "schedule": {"steps": 10**9}}},
        {"parametrisation": {**PLAN, "name": "v", "modes": 0, "schedule": {"steps": "x"}}},
        {"parametrisation": {**PLAN, "more": 3}},
        {"parametrisation": None},
        {"network": "x"},
        {"network": 3},
        {"network": []},
        {"network": {"_target_": "medsynth.nets.unet.UNet", "rank": 7, "channels": 3}},
        {"network": {"_target_": "medsynth.nets.unet.UNet", "rank": 2, "channels": "x"}},
        {"network": {"_target_": "medsynth.nets.unet.UNet", "rank": 2, "channels": 3, "features": []}},
        {
            "network": {
                "_target_": "medsynth.nets.unet.UNet",
                "rank": 2,
                "channels": 3,
                "features": [0],
                "norm_groups": 0,
            }
        },
        {"network": {"_target_": "medsynth.nets.unet.UNet", "more": 3}},
        {"network": {"_target_": "medsynth.nets.autoencoders.Haar"}},
        {"autoencoder": {"_target_": "medsynth.nets.unet.UNet", "rank": 2, "channels": 3}},
        {"autoencoder": {"_target_": "medsynth.nets.autoencoders.Haar", "levels": 99}},
        {"autoencoder": {"_target_": "medsynth.nets.autoencoders.Haar", "levels": "x"}},
        {"conditioner": {"_target_": "medsynth.nets.autoencoders.Haar"}},
        {"conditioner": {"_target_": "medsynth.models.conditioner.Conditioner", "classes": [1]}},
        {"conditioner": {"_target_": "medsynth.models.conditioner.Conditioner", "classes": {"a": 1}}},
        {"info": {}},
        {"info": {**INFO.to_json(), "more": 1}},
        {"info": {**INFO.to_json(), "licences": 3}},
        {"layout": {**GOOD, "images": []}},
        {"layout": {**GOOD, "images": [{**GOOD["images"][0], "name": "/../../../../elsewhere/x"}]}},
        {"layout": {**GOOD, "label": {"name": "label", "values": {"x": "y"}}}},
        {"layout": {**GOOD, "grid": {"shape": [8, 8], "affine": [[1]]}}},
        {"layout": None},
    ],
)
def test_altered_descriptions_are_refused(run, changes):
    altered(run, **changes)
    with pytest.raises(MedsynthError):
        load_run(run)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"'])
def test_descriptions_that_are_none(run, text):
    (run / "run.json").write_text(text)
    with pytest.raises(RunError):
        read_run(run)
    (run / "run.json").unlink()
    with pytest.raises(RunError, match="holds no run"):
        load_run(run)


def test_info_names_what_it_was_trained_on(run):
    assert json.loads((run / "run.json").read_text())["info"]["overrides"] == ["identity=trust"]
    assert replace(INFO, identity="cleared").to_json()["identity"] == "cleared"


def test_data_of_one_value_is_refused():
    with pytest.raises(MedsynthError, match="one value everywhere"):
        model().fit_latents(iter([torch.ones(2, 3, 8, 8)]), range(2))


def test_latents_are_centred_and_measured():
    made = model(Identity())
    x = torch.randn(400, 3, 8, 8) * torch.tensor([1.0, 2, 0.5]).reshape(3, 1, 1) + 3
    made.fit_latents(iter(x.split(50)), range(400))
    assert made.sigma_data.tolist() == pytest.approx([1, 2, 0.5], rel=0.02)
    assert made.latent_mean.tolist() == pytest.approx([3, 3, 3], rel=0.02)
    assert torch.allclose(made.decode(made.encode(x)), x, atol=1e-5)
