"""Which noise levels a network is trained at: distributions of sigma, as functions of uniform numbers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from medsynth.diffusion.schedules import VpSchedule
from medsynth.errors import MedsynthError

KINDS = ("log_normal", "logit_normal", "schedule")


@dataclass(frozen=True, kw_only=True)
class Levels:
    """A distribution of the noise level.

    Args:
        kind: "log_normal", ln sigma ~ N(mean, std^2) for data of standard deviation 0.5 (Karras et al. 2022,
            Table 1); "logit_normal", logit t ~ N(mean, std^2), then shifted (Esser et al. 2024, section 3.1
            and eq. 23), for data of variance 1: with sigma = t / (1 - t) the logit is ln sigma, and the shift
            a factor of sigma; "schedule", every step of the model's own as often (Ho et al. 2020, Algorithm 1).
        mean, std: of the normal.
        shift: of "logit_normal", towards noise; larger for larger volumes.

    Raises:
        MedsynthError: another kind, or numbers out of range.
    """

    kind: str = "log_normal"
    mean: float = -1.2
    std: float = 1.2
    shift: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise MedsynthError(f"objective.levels: kind {self.kind} is not known; there are {', '.join(KINDS)}")
        if self.std <= 0 or self.shift <= 0:
            raise MedsynthError("objective.levels: std and shift are above 0")

    def sigma(self, uniform: Tensor, rms: Tensor, schedule: VpSchedule | None = None) -> Tensor:
        """Noise levels.

        Args:
            uniform: (B,) in (0, 1).
            rms: (), the data's root mean square.
            schedule: the model's, for "schedule".

        Returns:
            (B,).

        Raises:
            MedsynthError: "schedule" for a model that has none.
        """
        if self.kind == "schedule":
            if schedule is None:
                raise MedsynthError("objective.levels.kind=schedule is for parametrisation=epsilon or v")
            places = (uniform.double() * schedule.steps).long().clamp(0, schedule.steps - 1)
            return schedule.sigmas().to(uniform)[places]
        normal = math.sqrt(2) * torch.erfinv((2 * uniform - 1).clamp(-1 + 1e-6, 1 - 1e-6))
        factor = 2 * rms if self.kind == "log_normal" else self.shift * rms
        return factor * (self.mean + self.std * normal).exp()
