"""Sigma grids: the noise levels a sampler visits, from high to low."""

import torch
from torch import Tensor


def karras_grid(steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Tensor:
    """EDM's time steps (Karras et al. 2022, eq. 5), float64 (steps + 1,), the last one 0.

    Args:
        steps: number of intervals, at least 1.
        sigma_min, sigma_max: lowest level above 0 and the first level, in units of the data.
        rho: how much the steps crowd towards low noise.
    """
    if steps < 1 or not 0 < sigma_min < sigma_max:
        raise ValueError("a grid needs at least 1 step and 0 < sigma_min < sigma_max")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])
