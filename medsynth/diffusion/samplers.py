"""Samplers: pure functions from noise to data along a sigma grid.

Each takes a Denoiser, the start x = y + sigma_0 n, the grid from high to low (its last
value may be 0) and a Condition, and returns x at the grid's end. The state is float32
(float64 stays), one function for every spatial rank. `on_step` is called after each
step with the number of steps done. `fresh` gives the white noise of a stochastic step;
without it a sampler is deterministic.
"""

import itertools
import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from medsynth.diffusion.preconditioning import Condition, Denoiser

OnStep = Callable[[int], None]
Fresh = Callable[[int, float], Tensor | None]
"""Step number, sigma at its end -> white noise shaped like x, or None for a step without."""


class Sampler(Protocol):
    """From noise to data."""

    def __call__(
        self,
        denoise: Denoiser,
        x: Tensor,
        sigmas: Tensor,
        condition: Condition,
        on_step: OnStep | None = None,
        fresh: Fresh | None = None,
    ) -> Tensor:
        """x: (B, C, *spatial), sigmas: (steps + 1,) -> (B, C, *spatial)."""


def _level(sigma: float, x: Tensor) -> Tensor:
    return torch.full((x.shape[0],), sigma, dtype=x.dtype, device=x.device)


def heun(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    on_step: OnStep | None = None,
    fresh: Fresh | None = None,
) -> Tensor:
    """Heun's 2nd order method, deterministic (Karras et al. 2022, Algorithm 1).

    Costs 2 evaluations a step, 1 for a last step that ends at 0.
    """
    del fresh
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
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    on_step: OnStep | None = None,
    fresh: Fresh | None = None,
) -> Tensor:
    """DPM-Solver++(2M), multistep, 1 evaluation a step (Lu et al. 2022b, Algorithm 2).

    With alpha = 1 and lambda = -ln sigma. The first step and one that ends at 0 are of
    first order, for want of a second value or a finite lambda. A step that `fresh` has noise
    for is one of SDE-DPM-Solver++(2M): it solves the reverse diffusion equation, which takes as
    much noise away as it adds, and so forgets in part what an imperfect denoiser got wrong before.
    """
    grid = sigmas.tolist()
    previous: Tensor | None = None
    for step, (sigma, following) in enumerate(itertools.pairwise(grid)):
        denoised = denoise(x, _level(sigma, x), condition)
        if following > 0:
            h, estimate = math.log(sigma / following), denoised
            if previous is not None:
                h_before = math.log(grid[step - 1] / sigma)
                estimate = denoised + (denoised - previous) * (h / (2 * h_before))
            noise = fresh(step, following) if fresh else None
            kept = math.exp(-h if noise is None else -2 * h)
            x = kept * x + (1 - kept) * estimate
            if noise is not None:
                x = x + following * math.sqrt(1 - kept) * noise
        else:
            x = denoised
        previous = denoised
        if on_step:
            on_step(step + 1)
    return x
