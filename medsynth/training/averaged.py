"""What the trainings of all kinds of models share: averages of the weights, and conditions that are dropped."""

import copy
from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

import lightning
import torch
from torch import Tensor, nn

from medsynth.data.dataset import Sample
from medsynth.diffusion.noise import generator_for
from medsynth.errors import MedsynthError
from medsynth.models.averages import power_decay, power_gamma, update_average
from medsynth.models.conditioner import TEXT
from medsynth.models.layout import Decoded
from medsynth.models.sample_model import SampleModel

M = TypeVar("M", bound=SampleModel)


class Dropping(NamedTuple):
    """Part of the samples whose conditions are all dropped, and by attribute the part in which it alone is."""

    whole: float
    each: Mapping[str, float]


class AveragedModule(lightning.LightningModule, Generic[M]):
    """Trains `model`; `average` is what samples are made with.

    Args:
        model: with its latents fitted.
        seed: of the training.
        ema: relative width of the average of the weights.
        dropping: how often conditions are dropped.
        snapshots: whether a second average, half as wide, is kept for averages of other widths.

    Raises:
        MedsynthError: an attribute to drop that the model is not told.
    """

    def __init__(self, model: M, seed: int, ema: float, dropping: Dropping, snapshots: bool) -> None:
        super().__init__()
        droppable = [*model.conditioner.parts, *model.layout.given.parts]
        unknown = [name for name in dropping.each if name not in droppable]
        if unknown:
            known = ", ".join(droppable) or "nothing"
            raise MedsynthError(f"objective.drop_each: the model is not conditioned on {unknown[0]}; it knows {known}")
        self.model = model
        # The text encoder is no part of what is averaged, and there is one.
        self.average: M = copy.deepcopy(model, {id(model.embed): model.embed}).requires_grad_(False).eval()
        self.seed, self.ema, self.dropping = seed, ema, dropping
        self.narrow = copy.deepcopy(model.network).requires_grad_(False).eval() if snapshots else None

    def dropped(self, batch: Sample, numbers: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the batch is told, with nulls: of all that is asked in some samples, of single parts in others."""
        conditioner = self.model.conditioner
        vector, tokens, present = batch.vector.clone(), batch.tokens.clone(), batch.present.clone()

        def drawn(number: int, *purpose: str) -> float:
            return torch.rand((), generator=generator_for("drop", self.seed, number, *purpose)).item()

        for row, number in enumerate(numbers):
            if drawn(number) < self.dropping.whole:
                vector[row, : conditioner.width] = 0
                tokens[row], present[row] = 0, False
            for name, share in self.dropping.each.items():
                if drawn(number, name) >= share:
                    continue
                if name in conditioner.parts:
                    vector[row, conditioner.parts[name]] = 0
                else:
                    present[row, list(self.model.layout.given.parts).index(name)] = False
                if name == TEXT:
                    tokens[row] = 0
        return vector, tokens, batch.given, present

    def update_averages(self, step: int) -> None:
        """Bring the averages up to date after `step` optimiser steps, before any callback can save them."""
        update_average(self.average, self.model, power_decay(step, power_gamma(self.ema)))
        if self.narrow is not None:
            update_average(self.narrow, self.model.network, power_decay(step, power_gamma(self.ema / 2)))

    def averages(self) -> dict[float, nn.Module]:
        """The averaged networks by their relative width."""
        wide: dict[float, nn.Module] = {self.ema: self.average.network}
        return wide if self.narrow is None else {**wide, self.ema / 2: self.narrow}

    def preview(self, count: int) -> list[Decoded]:
        """Samples 0 to count - 1 of the plan with seed 0, by the average."""
        return self.average.sample(count, seed=0)
