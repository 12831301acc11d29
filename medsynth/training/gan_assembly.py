"""Cases and settings become a generator, its discriminator and what judges them."""

from collections.abc import Callable
from pathlib import Path

from medsynth.data.fitting import FittedData
from medsynth.errors import MedsynthError
from medsynth.models.gan import GanModel
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.discriminator import Discriminator
from medsynth.nets.generator import Generator
from medsynth.nets.text import FrozenEncoder
from medsynth.nets.unet import UNet
from medsynth.training.assembly import build_conditioner, first_weights, is_gan
from medsynth.training.gan_judge import Judge, training_samples
from medsynth.training.gan_module import GanModule
from medsynth.training.gan_objective import GanObjective
from medsynth.training.objective import Objective
from medsynth.training.plan import DataPlan, Schedule

Networks = Callable[..., UNet] | Callable[..., Generator]


def require_one_kind(
    model: Networks,
    objective: Objective | GanObjective,
    discriminator: Callable[..., Discriminator] | None,
    parametrisation: ParametrisationPlan | None,
    text_encoder: FrozenEncoder | None,
    init_from: Path | None,
) -> None:
    """Refuse settings of a GAN and of a diffusion model together, before a scan is prepared.

    Raises:
        MedsynthError: so.
    """
    if not is_gan(model):
        if isinstance(objective, GanObjective) or discriminator is not None:
            raise MedsynthError(
                "objective=gan and discriminator are of model=gan: set all three, or objective=edm discriminator=null"
            )
        return
    if not isinstance(objective, GanObjective) or discriminator is None:
        raise MedsynthError("model=gan is trained against a discriminator: set objective=gan discriminator=gan too")
    if parametrisation is not None:
        raise MedsynthError("parametrisation is of diffusion models, model=gan has none: set parametrisation=null")
    if text_encoder is not None:
        raise MedsynthError("text_encoder is of diffusion models, model=gan hears no text: set text_encoder=null")
    if init_from is not None:
        raise MedsynthError(
            "init_from: a run keeps no discriminator, and a new one would undo what a generator has learnt; train "
            "model=gan anew"
        )


def build_gan(
    fitted: FittedData, data: DataPlan, autoencoder: Identity | Haar, network: Callable[..., Generator], seed: int
) -> GanModel:
    """A model that fits the cases, its first weights a function of the seed."""
    layout, conditioner = fitted.preparation.layout, build_conditioner(fitted, data)
    augmentation = data.augmentation.width(layout.rank)
    stride = autoencoder.stride
    with first_weights(seed):
        made = network(
            rank=layout.rank,
            channels=autoencoder.latent_channels(layout.channels, layout.rank),
            grid=[side // stride for side in layout.grid.shape],
            vector=conditioner.width + augmentation,
        )
    return GanModel(layout, autoencoder, made, conditioner, augmentation)


def build_discriminator(model: GanModel, discriminator: Callable[..., Discriminator], seed: int) -> Discriminator:
    """Of the model's latents, its first weights a function of the seed."""
    network = model.network
    with first_weights(seed, "discriminator"):
        return discriminator(
            rank=model.layout.rank, channels=network.channels, grid=list(network.grid), vector=network.vector
        )


def gan_module(
    model: GanModel,
    discriminator: Discriminator,
    objective: GanObjective,
    fitted: FittedData,
    seed: int,
    trainer: Schedule,
) -> GanModule:
    """What trains the model, judged by features that are fixed on the training cases as they are.

    Raises:
        MedsynthError: fewer than 8 training samples.
    """
    cases, channels = fitted.cases["train"], model.layout.channels
    places = [(case, part) for case, count in enumerate(fitted.slices["train"]) for part in range(count)]
    samples = training_samples(places, lambda place: cases[place[0]]["x"][place[1]][:channels])
    judge = Judge(model.layout, samples)
    return GanModule(
        model,
        discriminator,
        objective,
        judge,
        seed=seed,
        steps=trainer.steps,
        snapshots=trainer.snapshot_every is not None,
    )
