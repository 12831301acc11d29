"""Samplers: pure functions from noise to data along a sigma grid.

Each takes a Denoiser, the start x = y + sigma_0 n, the grid from high to low (its last
value may be 0) and a Condition, and returns x at the grid's end. The state is float32
(float64 stays), one function for every spatial rank. `on_step` is called after each
step with the number of steps done.
"""

import itertools
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from medsynth.diffusion.preconditioning import Condition, Denoiser

OnStep = Callable[[int], None]


class Sampler(Protocol):
    """From noise to data."""

    def __call__(
        self, denoise: Denoiser, x: Tensor, sigmas: Tensor, condition: Condition, on_step: OnStep | None = None
    ) -> Tensor:
        """x: (B, C, *spatial), sigmas: (steps + 1,) -> (B, C, *spatial)."""


def _level(sigma: float, x: Tensor) -> Tensor:
    return torch.full((x.shape[0],), sigma, dtype=x.dtype, device=x.device)


def heun(denoise: Denoiser, x: Tensor, sigmas: Tensor, condition: Condition, on_step: OnStep | None = None) -> Tensor:
    """Heun's 2nd order method, deterministic (Karras et al. 2022, Algorithm 1).

    Costs 2 evaluations a step, 1 for a last step that ends at 0.
    """
    grid = sigmas.tolist()
    for step, (sigma, following) in enumerate(itertools.pairwise(grid)):
        slope = (x - denoise(x, _level(sigma, x), condition)) / sigma
        euler = x + (following - sigma) * slope
        if following > 0:
            slope_there = (euler - denoise(euler, _level(following, x), condition)) / following
            x = x + (following - sigma) * (slope + slope_there) / 2
        else:
            x = euler
        if on_step:
            on_step(step + 1)
    return x


def dpmpp_2m(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, condition: Condition, on_step: OnStep | None = None
) -> Tensor:
    """DPM-Solver++(2M), multistep, 1 evaluation a step (Lu et al. 2022b, Algorithm 2).

    With alpha = 1 and lambda = -ln sigma. The first step and one that ends at 0 are of
    first order, for want of a second value or a finite lambda.
    """
    grid = sigmas.tolist()
    previous: Tensor | None = None
    for step, (sigma, following) in enumerate(itertools.pairwise(grid)):
        denoised = denoise(x, _level(sigma, x), condition)
        estimate = denoised
        if previous is not None and following > 0:
            h = torch.log(sigmas[step] / sigmas[step + 1]).item()
            h_before = torch.log(sigmas[step - 1] / sigmas[step]).item()
            estimate = denoised + (denoised - previous) * (h / (2 * h_before))
        ratio = following / sigma
        x = ratio * x + (1 - ratio) * estimate
        previous = denoised
        if on_step:
            on_step(step + 1)
    return x
