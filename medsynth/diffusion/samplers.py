"""Samplers: pure functions from noise to data along a sigma grid.

Each takes a Denoiser, the start x = y + sigma_0 n, the grid from high to low (its last
value may be 0) and a Condition, and returns x at the grid's end. The state is float32
(float64 stays), one function for every spatial rank. A stochastic sampler draws its white
noise from `fresh`. `on_step` is called after each step with the number of steps done.
"""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition, Denoiser
from medsynth.errors import MedsynthError

OnStep = Callable[[int], None]
Fresh = Callable[[int], Tensor]
"""Step number -> white noise shaped like x."""


Sampler = Callable[..., Tensor]
"""(denoise, x, sigmas, condition, fresh, on_step, **options), x (B, C, *spatial) and sigmas (N + 1,) -> like x."""


def level(sigma: float, x: Tensor) -> Tensor:
    """Sigma for the batch, (B,), on the CPU: a denoiser may look at it without waiting for a GPU."""
    return torch.full((x.shape[0],), sigma, dtype=x.dtype)


def euler(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    fresh: Fresh | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Euler's method in sigma, first order, which is DDIM (Song et al. 2021a, eq. 13 with eta = 0)."""
    del fresh
    for step, (sigma, following) in enumerate(itertools.pairwise(sigmas.tolist())):
        denoised = denoise(x, level(sigma, x), condition)
        x = denoised + (following / sigma) * (x - denoised)
        if on_step:
            on_step(step + 1)
    return x


def heun(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    fresh: Fresh | None = None,
    on_step: OnStep | None = None,
    *,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float = 1e6,
    churn_noise: float = 1.0,
) -> Tensor:
    """Heun's 2nd order method (Karras et al. 2022, Algorithms 1 and 2).

    Costs 2 evaluations a step, 1 for a last step that ends at 0.

    Args:
        denoise, x, sigmas, condition, fresh, on_step: see the module.
        churn: S_churn, noise added before the steps, in all of them together; 0 is deterministic.
        churn_min, churn_max: S_tmin and S_tmax, the levels between which noise is added.
        churn_noise: S_noise, standard deviation of the noise.

    Raises:
        MedsynthError: a negative churn or noise.
    """
    if churn < 0 or churn_noise < 0:
        raise MedsynthError("sampler.options: churn and churn_noise are 0 or more")
    grid = sigmas.tolist()
    most = min(churn / max(len(grid) - 1, 1), math.sqrt(2) - 1)
    for step, (sigma, following) in enumerate(itertools.pairwise(grid)):
        if most > 0 and fresh is not None and churn_min <= sigma <= churn_max:
            raised = sigma * (1 + most)
            x = x + math.sqrt(raised**2 - sigma**2) * churn_noise * fresh(step)
            sigma = raised
        slope = (x - denoise(x, level(sigma, x), condition)) / sigma
        ahead = x + (following - sigma) * slope
        if following > 0:
            slope_there = (ahead - denoise(ahead, level(following, x), condition)) / following
            x = x + (following - sigma) * (slope + slope_there) / 2
        else:
            x = ahead
        if on_step:
            on_step(step + 1)
    return x


def dpmpp_2m(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    fresh: Fresh | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DPM-Solver++(2M), multistep, 1 evaluation a step (Lu et al. 2022b, Algorithm 2).

    With alpha = 1 and lambda = -ln sigma. The first step and one that ends at 0 are of
    first order, for want of a second value or a finite lambda.
    """
    del fresh
    return _two_step(denoise, x, sigmas, condition, None, on_step, math.inf)


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    fresh: Fresh,
    on_step: OnStep | None = None,
    *,
    calm: float = 0.0,
) -> Tensor:
    """SDE-DPM-Solver++(2M): the same for the reverse diffusion equation (Lu et al. 2022b, Algorithm 4).

    It takes as much noise away as it adds, and so forgets in part what an imperfect
    denoiser got wrong before.

    Args:
        denoise, x, sigmas, condition, fresh, on_step: see the module.
        calm: a step that ends at this sigma or below adds no noise.
    """
    return _two_step(denoise, x, sigmas, condition, fresh, on_step, calm)


def _two_step(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    fresh: Fresh | None,
    on_step: OnStep | None,
    calm: float,
) -> Tensor:
    grid = sigmas.tolist()
    previous: Tensor | None = None
    for step, (sigma, following) in enumerate(itertools.pairwise(grid)):
        denoised = denoise(x, level(sigma, x), condition)
        if following > 0:
            h, estimate = math.log(sigma / following), denoised
            if previous is not None:
                h_before = math.log(grid[step - 1] / sigma)
                estimate = denoised + (denoised - previous) * (h / (2 * h_before))
            noise = fresh(step) if fresh and following > calm else None
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


def ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    fresh: Fresh,
    on_step: OnStep | None = None,
    *,
    variance: str = "small",
) -> Tensor:
    """DDPM's ancestral chain at any number of steps (Ho et al. 2020, eq. 6, 7 and Algorithm 2).

    In x / alpha, with alpha^2 = 1 / (1 + sigma^2), the posterior of a step from sigma to s is
    N(D + (s / sigma)^2 (x - D), s^2 (1 - (s / sigma)^2)). Fewer steps than the schedule has
    are a chain on the levels that remain (Nichol and Dhariwal 2021, section 4).

    Args:
        denoise, x, sigmas, condition, fresh, on_step: see the module.
        variance: "small", the posterior's (beta tilde), or "large", the forward step's (beta):
            the two of section 3.2, for data of variance 1 about.

    Raises:
        MedsynthError: another variance.
    """
    if variance not in ("small", "large"):
        raise MedsynthError("sampler.options.variance is small or large")
    for step, (sigma, following) in enumerate(itertools.pairwise(sigmas.tolist())):
        denoised = denoise(x, level(sigma, x), condition)
        kept = (following / sigma) ** 2
        x = denoised + kept * (x - denoised)
        if following > 0:
            spread = following**2 * (1 - kept)
            if variance == "large":
                spread = (sigma**2 - following**2) * (1 + following**2) / (1 + sigma**2)
            x = x + math.sqrt(spread) * fresh(step)
        if on_step:
            on_step(step + 1)
    return x
