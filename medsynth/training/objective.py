"""What a training minimises."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from medsynth.diffusion.levels import Levels
from medsynth.diffusion.loss import WEIGHTS
from medsynth.errors import MedsynthError


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised, and how.

    Args:
        learning_rate: of Adam, reached after `warmup` steps, then a half cosine to a
            twentieth of it at the last step.
        warmup: steps.
        levels: distribution of the training noise level; "log_normal" is scaled by twice the data's own
            root mean square.
        weight: of the noise levels in the loss: "uniform", "edm" or "min_snr"; see `loss_weight`.
        snr_gamma: of "min_snr".
        band_power: weight of a latent channel is its standard deviation to this power:
            0 weighs a wavelet's finest band like the coarsest, 1 by what it carries.
        label_weight: further weight of the label map's channels against the images'.
        drop_condition: part of the training samples whose conditions are all dropped, for guidance.
        drop_each: attribute -> further part of the samples in which it alone is dropped, so that it may be left open.
        ema: relative width of the average of the weights (sigma_rel of Karras et al. 2024).
        clip: largest norm of the gradient.
        validation_levels: noise levels a validation sample is tried at.
    """

    learning_rate: float = 5e-4
    warmup: int = 100
    levels: Levels = field(default_factory=lambda: Levels(mean=-0.7, std=1.6))
    weight: str = "uniform"
    snr_gamma: float = 5.0
    band_power: float = 0.5
    label_weight: float = 0.4
    drop_condition: float = 0.1
    drop_each: Mapping[str, float] = field(default_factory=dict)
    ema: float = 0.1
    clip: float = 1.0
    validation_levels: int = 4

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.snr_gamma <= 0 or not 0 <= self.drop_condition <= 1 or self.clip <= 0:
            raise MedsynthError("objective: learning_rate, snr_gamma and clip are above 0, drop_condition in 0..1")
        if not 0 < self.ema < 0.28 or self.validation_levels < 1 or self.label_weight <= 0:
            raise MedsynthError(
                "objective: ema is between 0 and 0.28, validation_levels at least 1, label_weight above 0"
            )
        if any(not 0 <= part <= 1 for part in self.drop_each.values()):
            raise MedsynthError("objective.drop_each: parts are in 0..1")
        if self.weight not in WEIGHTS:
            raise MedsynthError(f"objective: weight {self.weight} is not known; there are {', '.join(WEIGHTS)}")
