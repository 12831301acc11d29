"""Every option of conf/features becomes the plan that it names, as the command would build it."""

from collections.abc import Mapping
from dataclasses import asdict

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from medsynth.cli.call import bind
from medsynth.evidence.encoder import EncoderPlan
from medsynth.metrics.features import FeaturePlan, HaarPlan
from medsynth.metrics.network_input import NetworkInput
from medsynth.metrics.networks import FilePlan, ImageNetPlan, ModulePlan
from medsynth.metrics.radiomics.extractor import RadiomicsPlan


def wished(features: Mapping[str, FeaturePlan]) -> None:
    """A function that takes plans."""


def plans(content):
    return bind(wished, {"features": content})["features"]


@pytest.fixture(scope="module")
def options():
    with initialize_config_module("medsynth.conf", version_base="1.3"):
        config = compose(
            "ingest", ["source=x", "out=x", "identity=trust", "+features=[haar,radiomics,encoder,imagenet,file]"]
        )
    return plans(OmegaConf.to_container(config, resolve=True)["features"])


def test_each_option_is_its_plan_with_the_defaults_of_a_notebook(options):
    for name, plan in {
        "haar": HaarPlan(),
        "radiomics": RadiomicsPlan(),
        "encoder": EncoderPlan(),
        "imagenet": ImageNetPlan(),
        "file": FilePlan(form=NetworkInput(rank=2, channels=3, size=(224,))),
    }.items():
        assert type(options[name]) is type(plan)
        found = {key: tuple(v) if isinstance(v, list) else v for key, v in asdict(options[name]).items()}
        assert found == asdict(plan)


def test_a_users_module_by_target():
    plan = plans(
        {
            "mine": {
                "_target_": "medsynth.metrics.networks.ModulePlan",
                "module": {
                    "_target_": "monai.networks.nets.ResNet",
                    "block": "basic",
                    "layers": [1, 1, 1, 1],
                    "block_inplanes": [8, 8, 16, 16],
                    "n_input_channels": 1,
                    "feed_forward": False,
                },
                "form": {"rank": 3, "size": [32]},
            }
        }
    )["mine"]
    assert isinstance(plan, ModulePlan)
    assert plan.form == NetworkInput(rank=3, size=(32,))
