"""Data whose denoiser is known in closed form."""

import math

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition, to_rank

STD, MEAN = 0.5, 0.3
PARTS = ((0.3, -1.0, 0.3), (0.5, 0.2, 0.2), (0.2, 1.5, 0.4))
"""Weight, mean and standard deviation of a mixture's Gaussians."""


def gaussian(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
    """E[y | x] for y ~ N(MEAN, STD^2)."""
    del condition
    level = to_rank(sigma.to(x), x.ndim) ** 2
    return (STD**2 * x + level * MEAN) / (STD**2 + level)


def gaussian_flow(x: Tensor, start: float, end: float) -> Tensor:
    """The probability flow of that data: x - MEAN scales with the total standard deviation."""
    return MEAN + (x - MEAN) * math.sqrt((STD**2 + end**2) / (STD**2 + start**2))


def mixture(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
    """E[y | x] for y of PARTS."""
    del condition
    level = to_rank(sigma.to(x), x.ndim) ** 2
    logs = [
        math.log(weight) - 0.5 * torch.log(std**2 + level) - (x - mean) ** 2 / (2 * (std**2 + level))
        for weight, mean, std in PARTS
    ]
    means = [(std**2 * x + level * mean) / (std**2 + level) for _, mean, std in PARTS]
    return (torch.stack(logs).softmax(0) * torch.stack(means)).sum(0)


def mixture_flow(x: Tensor, start: float, end: float) -> Tensor:
    """The probability flow of the mixture in one dimension: it keeps every point's quantile."""

    def share(points: Tensor, sigma: float) -> Tensor:
        return sum(  # type: ignore[return-value]
            weight * torch.special.ndtr((points - mean) / math.sqrt(std**2 + sigma**2)) for weight, mean, std in PARTS
        )

    wanted = share(x, start)
    low, high = torch.full_like(x, -20.0), torch.full_like(x, 20.0)
    for _ in range(100):
        middle = (low + high) / 2
        below = share(middle, end) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def log_grid(steps: int, start: float = 80.0, end: float = 0.01) -> Tensor:
    """Even steps in ln sigma, ending above 0."""
    return torch.linspace(math.log(start), math.log(end), steps + 1, dtype=torch.float64).exp()


def silent_noise(step: int) -> Tensor:
    """For samplers that must not ask for noise."""
    raise AssertionError(f"step {step} asked for noise")
