"""UniPC: a multistep predictor and a corrector that costs no evaluation (Zhao et al. 2023)."""

import itertools
import math
from collections import deque

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition, Denoiser
from medsynth.diffusion.samplers import Fresh, OnStep, level
from medsynth.errors import MedsynthError


def unipc(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    condition: Condition,
    fresh: Fresh | None = None,
    on_step: OnStep | None = None,
    *,
    order: int = 3,
) -> Tensor:
    """UniPC-p in data prediction with B(h) = e^h - 1, 1 evaluation a step, of order p + 1.

    The denoiser is asked at the predicted x; its answer first corrects that x (UniC-p), then
    predicts the next (UniP-p). The order rises from 1 with the first steps and comes down
    to 1 with the last ones where the grid ends at 0. The solution of the last step is not
    corrected, which would need one more evaluation.

    Args:
        denoise, x, sigmas, condition, fresh, on_step: see `medsynth.diffusion.samplers`.
        order: p, 1 to 3 for use, more for a smooth denoiser.

    Raises:
        MedsynthError: an order below 1.
    """
    del fresh
    if order < 1:
        raise MedsynthError("sampler.options.order is at least 1")
    grid = sigmas.tolist()
    steps, falls = len(grid) - 1, bool(grid) and grid[-1] == 0
    known: deque[tuple[float, Tensor]] = deque(maxlen=order + 1)  # sigma and D there, oldest first
    before, used = x, 1
    for step, (sigma, following) in enumerate(itertools.pairwise(grid)):
        denoised = denoise(x, level(sigma, x), condition)
        if known:
            x = _step(before, known, sigma, used, denoised)
        known.append((sigma, denoised))
        before, used = x, min(order, step + 1, steps - step if falls else order)
        x = _step(before, known, following, used) if following > 0 else denoised
        if on_step:
            on_step(step + 1)
    return x


def _step(
    x: Tensor, known: "deque[tuple[float, Tensor]]", following: float, order: int, there: Tensor | None = None
) -> Tensor:
    """UniP-p, or with D at the end of the step, `there`, UniC-p: (B, C, *spatial)."""
    sigma, denoised = known[-1]
    h = math.log(sigma / following)
    ratios = [math.log(sigma / known[-1 - back][0]) / h for back in range(1, order)]
    slopes = [(known[-1 - back][1] - denoised) / ratios[back - 1] for back in range(1, order)]
    if there is not None:
        ratios, slopes = [*ratios, 1.0], [*slopes, there - denoised]
    shrunk = math.expm1(-h)
    result = (following / sigma) * x - shrunk * denoised
    for weight, slope in zip(_weights(h, ratios), slopes, strict=True):
        result = result - shrunk * weight * slope
    return result


def _weights(h: float, ratios: list[float]) -> list[float]:
    """Weights of the slopes so that the step is exact to as many orders (Zhao et al. 2023, eq. 5 and Theorem 3.1)."""
    if len(ratios) < 2:  # the authors' own choice for one slope: the limit for small steps
        return [0.5] * len(ratios)
    phi, factorial, right = math.expm1(-h) / -h - 1, 1, []
    for power in range(1, len(ratios) + 1):
        right.append(phi * factorial / math.expm1(-h))
        factorial *= power + 1
        phi = phi / -h - 1 / factorial
    nodes = torch.tensor(ratios, dtype=torch.float64)
    rows = torch.stack([nodes**power for power in range(len(ratios))])
    weights: list[float] = torch.linalg.solve(rows, torch.tensor(right, dtype=torch.float64)).tolist()
    return weights
