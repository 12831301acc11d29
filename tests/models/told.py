"""A small model that is told everything: a modality, a label map, a style, words."""

import torch

from medsynth.geometry import Geometry
from medsynth.models.conditioner import Conditioner
from medsynth.models.layout import Given, ImageChannel, LabelChannel, Layout
from medsynth.models.model import DiffusionModel
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import RunInfo
from medsynth.models.sample_model import told_channels
from medsynth.models.style import style_width
from medsynth.nets.autoencoders import Haar
from medsynth.nets.unet import UNet
from tests.words import Letters

LABEL = LabelChannel(name="organs", values={0: "background", 1: "ball", 4: "core"}, reach=1.5)


GIVEN = Given(images={"pet": "arbitrary"}, label=LABEL)


INFO = RunInfo(cases_sha256="a" * 64, identity="cleared", training={"seed": 0})


ENCODER = Letters()


TEXT = {"spec": ENCODER.spec, "sha256": ENCODER.sha256, "width": ENCODER.width, "length": ENCODER.length}


def layout(rank=2, given=GIVEN, side=8):
    return Layout(
        images=(ImageChannel(name="ct", units="HU", low=-100, high=100, integer=True),),
        label=None,
        grid=Geometry.centred((side,) * rank, (1,) * rank),
        given=given,
    )


def model(autoencoder=None, rank=2, given=GIVEN, augmentation=2, side=8):
    autoencoder = autoencoder or Haar()
    torch.manual_seed(3)
    conditioner = Conditioner({"class": ["a", "b"]}, {"age": (50, 10)}, style_width(1), TEXT)
    form = layout(rank, given, side)
    network = UNet(
        rank,
        autoencoder.latent_channels(1, rank),
        views=2,
        vector=conditioner.width + augmentation,
        spatial=told_channels(form, autoencoder),
        tokens=4,
        features=(8, 8),
        head_channels=8,
        norm_groups=4,
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    made = DiffusionModel(form, autoencoder, network, conditioner, augmentation, ParametrisationPlan(modes=0))
    made.embed = Letters()
    made.fit_latents(iter([torch.randn(40, 1, *form.grid.shape)]), range(40))
    return made.eval()


def told(**parts):
    return GIVEN.tell((8, 8), parts)
