"""What a GAN minimises: the relativistic pairing loss with zero-centred gradient penalties, and its schedules."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from medsynth.errors import MedsynthError


def relativistic_loss(wanted: Tensor, other: Tensor) -> Tensor:
    """Softplus(-(wanted - other)): what pushes one logit above its partner's (Jolicoeur-Martineau 2019).

    Args:
        wanted: (B,) logits that are to rise: of real samples for D, of made ones for G.
        other: (B,) logits of their partners.

    Returns:
        (B,), above 0; ln 2 where the two are level.
    """
    return F.softplus(other - wanted)


def gradient_penalty(logits: Tensor, samples: Tensor) -> Tensor:
    """|dD/dx|^2 of every sample, (B,): R1 on real ones, R2 on made ones (Mescheder et al. 2018).

    Args:
        logits: (B,), each a function of its own sample alone.
        samples: (B, ...), that require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return gradient.flatten(1).square().sum(1)


class Rates(NamedTuple):
    """What of the objective changes on the way: Adam's rate and second moment, and the penalties' weight."""

    learning_rate: float
    beta2: float
    gamma: float


@dataclass(frozen=True, kw_only=True)
class GanObjective:
    """What is minimised, and how (R3GAN, Huang et al. 2024, arXiv 2501.05441).

    Learning rate, gamma and beta2 go from their first value to their last along a half cosine over the first
    `settle` of the steps; R3GAN's "burn-in".

    Args:
        learning_rate, learning_rate_end: of both Adams; their first moment has no memory.
        beta2, beta2_end: of both Adams' second moment.
        gamma, gamma_end: D's loss has N gamma / 2 (R1 + R2), N the number of a latent's entries, which have variance
            1 over all: the weight that a size needs grows with N (R3GAN's own are, so counted, 6e-5 to 3e-3). 0
            leaves R1 and R2 out, a control that is not expected to converge.
        settle: part of the steps, above 0 to 1.
        band_power: D sees a latent channel multiplied by its standard deviation to this power less one: 1 shows it
            the latent as it is, 0 every channel alike.
        label_weight: further factor for the label map's channels, which are too exact in real cases to compete with.
        augment: part of what D sees, real and made alike, that is moved and has a box cut out, reached along the
            same half cosine (Zhao et al. 2020; R3GAN's "augmentation schedule").
        drop_condition: part of the samples whose conditions are all dropped, real and made alike, so that a condition
            may be left open.
        drop_each: attribute -> further part of the samples in which it alone is dropped.
        ema: relative width of the average of the generator's weights (sigma_rel of Karras et al. 2024).
        validation_draws: samples that are made for each validation sample.
    """

    learning_rate: float = 2e-4
    learning_rate_end: float = 5e-5
    beta2: float = 0.9
    beta2_end: float = 0.99
    gamma: float = 1e-3
    gamma_end: float = 1e-4
    settle: float = 0.8
    band_power: float = 1.0
    label_weight: float = 0.3
    augment: float = 0.3
    drop_condition: float = 0.1
    drop_each: Mapping[str, float] = field(default_factory=dict)
    ema: float = 0.1
    validation_draws: int = 4

    def __post_init__(self) -> None:
        if min(self.learning_rate, self.learning_rate_end) <= 0 or min(self.gamma, self.gamma_end) < 0:
            raise MedsynthError("objective: learning rates are above 0, gamma and gamma_end 0 or more")
        if not 0 <= min(self.beta2, self.beta2_end) <= max(self.beta2, self.beta2_end) < 1 or not 0 < self.settle <= 1:
            raise MedsynthError("objective: beta2 and beta2_end are in 0..1, below 1, settle above 0 to 1")
        if not 0 < self.ema < 0.28 or self.validation_draws < 1 or self.label_weight <= 0:
            raise MedsynthError(
                "objective: ema is between 0 and 0.28, validation_draws at least 1, label_weight above 0"
            )
        if any(not 0 <= part <= 1 for part in (self.augment, self.drop_condition, *self.drop_each.values())):
            raise MedsynthError("objective: augment, drop_condition and the parts of drop_each are in 0..1")

    def progress(self, step: int, steps: int) -> float:
        """How far the schedules have gone after `step` of `steps`: 0 to 1 along a half cosine."""
        return 0.5 - 0.5 * math.cos(math.pi * min(step / (self.settle * steps), 1.0))

    def rates(self, step: int, steps: int) -> Rates:
        """Of the step that follows `step` of `steps`."""
        done = self.progress(step, steps)

        def between(first: float, last: float) -> float:
            return last + (first - last) * (1 - done)

        return Rates(
            between(self.learning_rate, self.learning_rate_end),
            between(self.beta2, self.beta2_end),
            between(self.gamma, self.gamma_end),
        )
