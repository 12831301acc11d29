"""Sigma grids: the noise levels a sampler visits, from high to low, float64 (steps + 1,), the last one 0."""

import torch
from torch import Tensor

from medsynth.diffusion.schedules import VpSchedule

PURE_NOISE = 1e6
"""Where a grid starts whose first level is infinite: rectified flow's t = 1."""


def karras_grid(steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Tensor:
    """EDM's time steps (Karras et al. 2022, eq. 5).

    Args:
        steps: number of intervals, at least 1.
        sigma_min, sigma_max: lowest level above 0 and the first level, in units of the data.
        rho: how much the steps crowd towards low noise.
    """
    if steps < 1 or not 0 < sigma_min < sigma_max:
        raise ValueError("a grid needs at least 1 step and 0 < sigma_min < sigma_max")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return _down_to_zero((high + ramp * (low - high)) ** rho)


def schedule_grid(schedule: VpSchedule, steps: int) -> Tensor:
    """Levels of a training schedule, evenly spaced in t with both ends (Lin et al. 2024, Table 2, "linspace").

    With `steps` the schedule's own it is the whole chain.

    Raises:
        ValueError: no step, or more than the schedule has.
    """
    if not 1 <= steps <= schedule.steps:
        raise ValueError(f"a schedule of {schedule.steps} steps is walked in 1 to {schedule.steps}")
    last = schedule.steps - 1
    places = torch.linspace(last, 0, steps, dtype=torch.float64).round().long()
    return _down_to_zero(schedule.sigmas()[places])


def flow_grid(steps: int, shift: float = 1.0) -> Tensor:
    """Rectified flow's even steps in t from 1 to 0, shifted towards noise: sigma = shift t / (1 - t).

    The shift t' = shift t / (1 + (shift - 1) t) (Esser et al. 2024, eq. 23) is a factor of sigma.
    t = 1 has sigma infinite and stands at 1e6.
    """
    if steps < 1 or shift <= 0:
        raise ValueError("a grid needs at least 1 step and a shift above 0")
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]
    return _down_to_zero((shift * t / (1 - t)).clamp(max=PURE_NOISE))


def _down_to_zero(levels: Tensor) -> Tensor:
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
