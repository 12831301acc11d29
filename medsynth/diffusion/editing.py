"""Editing a sample of which something is known (projections): where sampling starts, inversion, mixtures of starts."""

import functools
import itertools
import math
from typing import Any

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition, Denoiser, to_rank
from medsynth.diffusion.projections import Project
from medsynth.diffusion.samplers import Fresh, OnStep, Sampler, heun
from medsynth.errors import MedsynthError


def start(free: Tensor, noise: Tensor, sigma: float, project: Project) -> Tensor:
    """Where sampling begins when part is known: K (y + sigma n) + (1 - K) free.

    Written project(free - sigma n) + sigma n, which needs no K. Along an ODE the known part is then
    y + sigma n with this n at every level; a stochastic sampler renews n.

    Args:
        free: (B, C, *spatial), the model's usual start, or data + sigma n to begin from data.
        noise: n, white, like `free`; it may be the noise that `free` was made of.
        sigma: the grid's first level.
        project: what is known.
    """
    return project(free - sigma * noise) + sigma * noise


def travelled(sampler: Sampler, returns: int, jump: int = 2, low: float = 0.0, high: float = math.inf) -> Sampler:
    """A sampler that goes `jump` steps down, back up by noise, and down again (RePaint, Lugmayr et al. 2022, 4.2).

    Each return lets the free part see the known one through noise of its own, and so takes away the bias of
    `projected`. It is as any sampler: same arguments, `on_step` once for each step of the grid. `fresh` is
    asked other numbers than without returns, each once. Costs about 1 + returns times the evaluations of the
    steps that return. Measured as in `projected`, where 0.9 and 0.44 are right, returns between 0.05 and 5:
    dpmpp_2m, 20 steps, 9 returns 0.82 and 0.45 (92 evaluations); dpmpp_2m_sde, 40 steps, 9 returns 0.87 and
    0.42 (184). A jump of 1 costs as much and makes the
    spread too small; long ones mix too slowly.

    Args:
        sampler: the one to call between the levels; one with a memory starts anew with each jump. What it spreads
            over all its steps (Heun's churn) it would spread over each jump: such an option stays 0.
        returns: how often each jump is walked again; 0 gives `sampler` itself.
        jump: steps walked at once, at least 1.
        low, high: jumps that begin at low <= sigma <= high return, the others are walked once. What spans many
            voxels settles at a high sigma (a mode's is the root of its variance), detail at a low one.

    Raises:
        MedsynthError: returns below 0, jump below 1.
    """
    if returns < 0 or jump < 1:
        raise MedsynthError("time travel: returns is 0 or more, jump at least 1")
    if returns == 0:
        return sampler

    def there_and_back(
        denoise: Denoiser,
        x: Tensor,
        sigmas: Tensor,
        condition: Condition,
        fresh: Fresh,
        on_step: OnStep | None = None,
        **options: Any,
    ) -> Tensor:
        asked = 0  # numbers of fresh noise, never one twice

        for first, last, again in _jumps(sigmas.tolist(), jump, low, high):
            part = sigmas[first : last + 1]
            for walk in range(returns + 1 if again else 1):
                if walk:
                    up = math.sqrt(float(part[0]) ** 2 - float(part[-1]) ** 2)
                    x = x + up * fresh(asked)
                    asked += 1
                final = not again or walk == returns
                told = functools.partial(_told, on_step, first) if on_step and final else None
                x = sampler(denoise, x, part, condition, functools.partial(_numbered, fresh, asked), told, **options)
                asked += last - first
        return x

    return there_and_back


def _jumps(levels: list[float], jump: int, low: float, high: float) -> list[tuple[int, int, bool]]:
    """First and last place in the grid of each part, and whether it is walked again; the others lie together."""
    parts: list[tuple[int, int, bool]] = []
    last = len(levels) - 1
    for again, places in itertools.groupby(range(last), lambda place: low <= levels[place] <= high):
        steps = list(places)
        size = jump if again else len(steps)
        parts.extend((first, min(first + size, steps[-1] + 1), again) for first in steps[::size])
    return parts


def _numbered(fresh: Fresh, first: int, step: int) -> Tensor:
    return fresh(first + step)


def _told(on_step: OnStep, first: int, done: int) -> None:
    on_step(first + done)


def inverted(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, condition: Condition, on_step: OnStep | None = None
) -> Tensor:
    """From data up to the noise it comes from: the probability-flow ODE backwards (DDIM inversion, Song et al. 2021a).

    Heun's method on the grid reversed, 2 evaluations a step. The lowest level above 0 stands for the data, so
    what is finer than it is lost in a last step down to 0. The way down again by `heun` on the same grid ends where
    it began, to the 3rd order (errors of 2nd order, up and down, are opposite); by another sampler to the 2nd.

    Args:
        denoise: the model; unguided, or the way down is another.
        x: (B, C, *spatial), data.
        sigmas: the grid as samplers walk it, from high to low, (N + 1,).
        condition: of the batch.
        on_step: told the steps done, of one less than positive levels.

    Returns:
        x at the first level of the grid, like `x`.
    """
    return heun(denoise, x, sigmas[sigmas > 0].flip(0), condition, on_step=on_step)


def varied(noise: Tensor, fresh: Tensor, amount: float, centre: Tensor | float = 0.0) -> Tensor:
    """sqrt(1 - a^2) noise + a fresh: a variation, which keeps the law of both (of white noise, say).

    Args:
        noise: (B, C, *spatial), white noise or a start.
        fresh: like it, independent, of the same law.
        amount: a in [0, 1]; 0 gives `noise`, 1 `fresh`.
        centre: their mean, see `between`.

    Raises:
        MedsynthError: an amount out of range.
    """
    if not 0 <= amount <= 1:
        raise MedsynthError("the amount of a variation is 0 (the same) to 1 (another sample)")
    return _mixed(noise, fresh, torch.tensor(math.sqrt(1 - amount**2)), torch.tensor(float(amount)), centre)


def between(first: Tensor, second: Tensor, share: float, centre: Tensor | float = 0.0) -> Tensor:
    """Spherical interpolation of two starts (White 2016), sample by sample.

    With w the angle between them the weights are sin((1 - s) w) / sin w and sin(s w) / sin w: what has the variance v
    and the correlation cos w in both has the variance v again. A start x = y + sigma n is mostly sigma n, yet holds
    the data too. Its departures from the mean keep their law as the noise does. The mean itself would grow, by up to
    1.41 half way, since the weights add up to more than 1; so where |mean| is not small beside sigma (a whole volume's
    mean map is not) give it as `centre`, about which the rest turns.

    Args:
        first, second: (B, C, *spatial), at one level.
        share: 0 gives `first`, 1 `second`, both exactly.
        centre: the data's mean, broadcasts to them.

    Raises:
        MedsynthError: a share out of range, or starts that are opposite, between which there are many ways.
    """
    if not 0 <= share <= 1:
        raise MedsynthError("a share between two samples is 0 (the first) to 1 (the second)")
    one, other = ((x - centre).flatten(1).double() for x in (first, second))
    cosine = torch.nn.functional.cosine_similarity(one, other, dim=1).clamp(-1, 1)
    if (cosine < -1 + 1e-6).any():
        raise MedsynthError("two samples are each other's opposite: there is no one way between them; take others")
    angle = cosine.arccos()
    same = angle < 1e-4  # where sines and their arguments are one
    below = torch.where(same, 1.0, angle.sin())
    one, other = (
        to_rank(torch.where(same, part, (part * angle).sin() / below), first.ndim) for part in (1 - share, share)
    )
    return _mixed(first, second, one, other, centre)


def _mixed(first: Tensor, second: Tensor, one: Tensor, other: Tensor, centre: Tensor | float) -> Tensor:
    one, other = one.to(first), other.to(first)
    return one * first + other * second + (1 - one - other) * centre


def strength_grid(sigmas: Tensor, strength: float) -> Tensor:
    """The part of a grid that image to image walks (SDEdit, Meng et al. 2022): data + its first level n, then down.

    Of N steps the last strength N are walked. Where that is no whole number the first of them is cut, so
    that it begins in between its levels in ln sigma; the last one, which may end at 0, is always
    walked whole. The grid ends where it did.

    Args:
        sigmas: from high to low, (N + 1,).
        strength: in (0, 1]; 1 is the whole grid.

    Raises:
        MedsynthError: a strength out of range.
    """
    if not 0 < strength <= 1:
        raise MedsynthError("strength is above 0 (nearly nothing changes) and at most 1 (nothing is kept)")
    steps = len(sigmas) - 1
    skipped = round(min((1 - strength) * steps, steps - 1), 9)
    first = math.floor(skipped)
    rest = sigmas[first:].clone()
    if skipped > first:
        rest[0] = rest[0] * (rest[1] / rest[0]) ** (skipped - first)
    return rest
