"""Cases and settings become a model whose latents are measured."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from medsynth.data.augmentation import Augmentation
from medsynth.data.dataset import TrainingSamples
from medsynth.data.derived import SLICE_POSITION, attributes_of
from medsynth.data.fitting import FittedData, fit_preparation
from medsynth.data.progress import progress_bar
from medsynth.data.resampling import Intensity
from medsynth.diffusion.gaussian import most_modes
from medsynth.diffusion.noise import generator_for
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Conditioner, as_number
from medsynth.models.layout import Given
from medsynth.models.model import DiffusionModel, require_diffusion
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.run import Run
from medsynth.models.sample_model import SampleModel, told_channels
from medsynth.models.style import style_width
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.nets.controlled import Controlled
from medsynth.nets.generator import Generator
from medsynth.nets.text import TextEncoder
from medsynth.nets.unet import UNet
from medsynth.records import Attribute
from medsynth.training.plan import DataPlan, ImageInput

_MOST_VOXELS = 2**31
_ROUNDING = 1e-6


def fit_data(cases: Path, data: DataPlan, cache: Path, progress: bool) -> FittedData:
    """Prepare the cases under a bar, and learn the form of a sample from the training patients."""
    with progress_bar(progress) as bar:

        def each(text: str, total: int) -> Callable[[], None]:
            task = bar.add_task(text, total=total, note="")
            return lambda: bar.advance(task)

        return fit_preparation(
            cases,
            images=_intensities(data.images),
            label=data.label,
            label_reach=data.label_reach,
            resampling=data.resampling,
            split=data.split,
            conditions=data.conditions,
            numbers=data.numbers,
            given=_intensities(data.given.images),
            given_label=data.given.label,
            cache=cache,
            each=each,
        )


def _intensities(images: Sequence[ImageInput]) -> dict[str, Intensity]:
    return {image.name: Intensity(kind=image.kind, low=image.low, high=image.high) for image in images}


def check_network(
    data: DataPlan, autoencoder: Identity | Haar, network: Callable[..., UNet] | Callable[..., Generator]
) -> None:
    """Refuse a network that does not fit the size of a sample, before a scan is prepared.

    Raises:
        MedsynthError: sides that do not divide, settings of the network that do not fit each other.
    """
    size = data.resampling.size
    if math.prod(size) > _MOST_VOXELS:
        raise MedsynthError(f"data.resampling.size={list(size)}: no memory holds samples of so many voxels")
    if data.augmentation.shift >= min(size):
        raise MedsynthError(
            f"data.augmentation.shift={data.augmentation.shift} moves all of a sample of {list(size)} away; lower it"
        )
    stride = autoencoder.stride
    if is_gan(network):  # its network takes any grid
        if any(side % stride for side in size):
            raise MedsynthError(
                f"data.resampling.size={list(size)} does not divide by {stride}, the autoencoder's halvings: make "
                "every side a multiple of it, or set autoencoder=identity"
            )
        return
    with torch.device("meta"):
        stride *= cast(UNet, network(rank=len(size), channels=1)).stride
    if any(side % stride for side in size):
        raise MedsynthError(
            f"data.resampling.size={list(size)} does not divide by {stride}, the autoencoder's and the network's "
            f"halvings: make every side a multiple of {stride}, or set fewer levels or features"
        )


def build_conditioner(fitted: FittedData, data: DataPlan, encoder: TextEncoder | None = None) -> Conditioner:
    """From what is known of the training cases to what a model is told of one.

    Raises:
        MedsynthError: a number that does not differ between patients.
    """
    training = [
        attributes_of(record, data.resampling, part, count)
        for record, count in zip(fitted.cases["train"].records, fitted.slices["train"], strict=True)
        for part in range(count)
    ]
    owners = [
        record.patient
        for record, count in zip(fitted.cases["train"].records, fitted.slices["train"], strict=True)
        for _ in range(count)
    ]
    classes = {
        name: sorted({str(known[name]) for known in training if known.get(name) is not None})
        for name in data.conditions
    }
    return Conditioner(
        classes,
        {name: _spread(training, owners, name) for name in data.numbers},
        style_width(len(fitted.preparation.layout.images)) if data.style else 0,
        None
        if encoder is None
        else {"spec": encoder.spec, "sha256": encoder.sha256, "width": encoder.width, "length": encoder.length},
    )


def build_model(
    fitted: FittedData,
    data: DataPlan,
    autoencoder: Identity | Haar,
    network: Callable[..., UNet],
    parametrisation: ParametrisationPlan,
    seed: int,
    encoder: TextEncoder | None = None,
) -> DiffusionModel:
    """A model that fits the cases, its first weights a function of the seed.

    The encoder embeds what is said of the cases.

    Raises:
        MedsynthError: more modes than the patients carry.
    """
    layout, conditioner = fitted.preparation.layout, build_conditioner(fitted, data, encoder)
    augmentation = data.augmentation.width(layout.rank)
    with first_weights(seed):
        made = network(
            rank=layout.rank,
            channels=autoencoder.latent_channels(layout.channels, layout.rank),
            vector=conditioner.width + augmentation,
            views=parametrisation.views,
            tokens=conditioner.tokens[1],
            **_spatial(network, told_channels(layout, autoencoder)),
        )
    fixed = replace(parametrisation, modes=_modes(fitted, parametrisation))
    model = DiffusionModel(layout, autoencoder, made, conditioner, augmentation, fixed)
    model.embed = encoder
    return model


@contextmanager
def first_weights(seed: int, purpose: str = "weights") -> Iterator[None]:
    """Networks that are made in here begin with weights that are a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator_for(purpose, seed))))
        yield


def _spatial(network: Callable[..., UNet], channels: int) -> dict[str, int]:
    """What is given is seen by the network itself, or by the branch that controls a frozen one."""
    if not is_controlled(network):
        return {"spatial": channels}
    if not channels:
        raise MedsynthError("model=controlled follows what is given: set data.given.label or data.given.images")
    return {"control": channels}


def is_controlled(network: Callable[..., object]) -> bool:
    """Whether `network` makes a Controlled."""
    return _makes(network, Controlled)


def is_gan(network: Callable[..., object]) -> bool:
    """Whether `network` makes a Generator."""
    return _makes(network, Generator)


def _makes(network: Callable[..., object], wanted: type) -> bool:
    kind = getattr(network, "func", network)
    return isinstance(kind, type) and issubclass(kind, wanted)


def control(model: DiffusionModel, begun: Run, augmentation: Augmentation) -> None:
    """Put a finished run's model into a controlled one: weights, latents and prior, which stay as they are.

    Args:
        model: the controlled one.
        begun: the run that it begins with.
        augmentation: of the training cases of `model`.

    Raises:
        MedsynthError: they make other samples, are asked other things, or were trained on other augmentations.
    """
    network, parent = model.network, require_diffusion(begun.model, "model=controlled")
    assert isinstance(network, Controlled)
    same = (
        parent.layout.to_json() == replace(model.layout, given=Given()).to_json()
        and parent.conditioner.same_as(model.conditioner)
        and parent.parametrisation == model.parametrisation
        and begun.info.training.get("augmentation") == augmentation.to_json()
        and parent.autoencoder.spec == model.autoencoder.spec
        and _settings(parent.network) == _settings(network)
    )
    if not same:
        raise MedsynthError(
            "init_from: a controlled model makes the samples of the run that it begins with: take its data, "
            "conditions, augmentation, autoencoder, parametrisation and model settings, and add data.given alone"
        )
    network.start_from(parent.network.state_dict())
    measured = {name: value for name, value in parent.state_dict().items() if not name.startswith("network.")}
    model.load_state_dict(measured, strict=False)


def _settings(network: UNet) -> tuple[object, ...]:
    """Of a network, what changes the meaning of its weights and not their shapes."""
    return tuple(network.spec[name] for name in ("norm_groups", "head_channels"))


def _spread(training: Sequence[Mapping[str, Attribute]], owners: Sequence[str], name: str) -> tuple[float, float]:
    """Mean and standard deviation of a number over the training patients, each the mean of its scans.

    The place of a slice differs within a patient: there all slices count.

    Raises:
        MedsynthError: fewer than two patients have it, or all the same.
    """
    own: dict[str, list[float]] = {}
    for place, (known, patient) in enumerate(zip(training, owners, strict=True)):
        number = as_number(known.get(name))
        if number is not None:
            own.setdefault(f"{place}" if name == SLICE_POSITION else patient, []).append(number)
    means = torch.tensor([sum(numbers) / len(numbers) for numbers in own.values()], dtype=torch.float64)
    # What a file rounds (a voxel size) is no difference.
    if len(means) < 2 or not means.std() > _ROUNDING * means.abs().max():
        raise MedsynthError(
            f"data.numbers: {name} is a number in {len(means)} training patients and must differ between two or more; "
            "leave it out, or name it in data.conditions if its values are classes"
        )
    return float(means.mean()), float(means.std())


def _modes(fitted: FittedData, parametrisation: ParametrisationPlan) -> int:
    """Number of modes in the prior.

    Raises:
        MedsynthError: more than so many training patients carry without being known by them.
    """
    wanted = parametrisation.modes if parametrisation.name == "edm" else 0
    patients = len({record.patient for record in fitted.cases["train"].records})
    most = most_modes(patients)
    if wanted is not None and not 0 <= wanted <= most:
        raise MedsynthError(
            f"parametrisation.modes={wanted}: {patients} training patients carry 0 to {most}; "
            "set parametrisation.modes=null"
        )
    return most if wanted is None else wanted


def fit_latents(model: SampleModel, training: TrainingSamples, progress: bool) -> None:
    """Measure mean, scale and principal modes of the training cases' latents, under a bar.

    As training meets them: where they are augmented, in two draws of each.
    """
    records, turns = training.cases.records, 2 if model.augmentation else 1
    number = {patient: place for place, patient in enumerate(dict.fromkeys(r.patient for r in records))}
    size = len(training.places)
    # Case by case within a turn: slices of a volume are read together.
    samples = [n for turn in range(turns) for n in sorted(range(turn * size, turn * size + size), key=training.place)]
    owners = [number[records[training.place(sample)[0]].patient] for sample in samples]
    with progress_bar(progress) as bar:
        task = bar.add_task("measuring latents", total=len(samples), note="")

        def batches() -> Iterator[Tensor]:
            for sample in samples:
                yield training[sample].x[None]
                bar.advance(task)

        model.fit_latents(batches(), owners)
