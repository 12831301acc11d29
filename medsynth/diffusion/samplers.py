"""Samplers: pure functions from noise to data along a sigma grid.

Each takes a Denoiser, the start x = y + sigma_0 n, the grid from high to low (its last
value may be 0) and a Condition, and returns x at the grid's end. The state is float32
(float64 stays), one function for every spatial rank. `on_step` is called after each
step with the number of steps done. A stochastic sampler asks `fresh` for the white noise
of a step; the others never do.
"""

import itertools
import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from medsynth.diffusion.preconditioning import Condition, Denoiser

OnStep = Callable[[int], None]
Fresh = Callable[[int], Tensor]
"""Step number -> white noise shaped like x."""


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
    first order, for want of a second value or a finite lambda.
    """
    del fresh
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


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    on_step: OnStep | None = None,
    fresh: Fresh | None = None,
) -> Tensor:
    """SDE-DPM-Solver++(2M), stochastic, multistep, 1 evaluation a step (Lu et al. 2022b, section 4.3).

    Solves the reverse diffusion equation, which takes as much noise away again as it adds:
    what an imperfect denoiser got wrong at a higher noise is forgotten in part. Order as `dpmpp_2m`.
    """
    if fresh is None:
        raise ValueError("a stochastic sampler needs fresh noise")
    grid = sigmas.tolist()
    previous: Tensor | None = None
    for step, (sigma, following) in enumerate(itertools.pairwise(grid)):
        denoised = denoise(x, _level(sigma, x), condition)
        if following > 0:
            h = math.log(sigma / following)
            estimate = denoised
            if previous is not None:
                h_before = math.log(grid[step - 1] / sigma)
                estimate = denoised + (denoised - previous) * (h / (2 * h_before))
            kept, spread = math.exp(-2 * h), math.sqrt(-math.expm1(-2 * h))
            x = kept * x + (1 - kept) * estimate + following * spread * fresh(step)
        else:
            x = denoised
        previous = denoised
        if on_step:
            on_step(step + 1)
    return x
