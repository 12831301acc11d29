"""Schedules of variance-preserving diffusion, in sigma: x_t = alpha_t (y + sigma_t n), alpha^2 = 1 / (1 + sigma^2)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from medsynth.errors import MedsynthError


@dataclass(frozen=True, kw_only=True)
class VpSchedule:
    """Steps t = 0 ... T - 1 from little noise to nearly nothing but noise.

    Args:
        kind: "linear", betas in even steps (Ho et al. 2020, section 4), or "cosine", the share of
            the data in the variance a squared cosine (Nichol and Dhariwal 2021, eq. 17).
        steps: T.
        beta_start, beta_end: first and last beta of "linear".

    Raises:
        MedsynthError: another kind, or numbers that give no schedule.
    """

    kind: str = "linear"
    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "cosine"):
            raise MedsynthError(f"schedule {self.kind} is not known; there are linear and cosine")
        if not 2 <= self.steps <= 100_000 or not 0 < self.beta_start <= self.beta_end < 1:
            raise MedsynthError("schedule: steps is 2 to 100000, 0 < beta_start <= beta_end < 1")

    def betas(self) -> Tensor:
        """Variance that each step adds, float64 (T,)."""
        if self.kind == "linear":
            return torch.linspace(self.beta_start, self.beta_end, self.steps, dtype=torch.float64)
        ends = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        share = torch.cos((ends + 0.008) / 1.008 * math.pi / 2) ** 2
        return (1 - share[1:] / share[:-1]).clamp(max=0.999)

    def sigmas(self) -> Tensor:
        """Noise level at each step, rising, float64 (T,)."""
        logs = torch.log1p(-self.betas()).cumsum(0)  # of alpha^2
        return (torch.expm1(-logs)).sqrt()

    def times(self, sigma: Tensor) -> Tensor:
        """Step t at which the noise is sigma, (B,) -> (B,) in 0 ... T - 1, linear in ln sigma between the steps."""
        logs = self.sigmas().log().to(sigma.device)
        wanted = sigma.double().clamp(min=1e-30).log()
        after = torch.searchsorted(logs, wanted).clamp(1, self.steps - 1)
        low, high = logs[after - 1], logs[after]
        return (after - 1 + ((wanted - low) / (high - low)).clamp(0, 1)).to(sigma.dtype)
