"""Samplers against theory: the order of each, the law of the stochastic ones, what a sample costs."""

import functools
import math

import numpy as np
import pytest
import torch

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.grids import karras_grid, schedule_grid
from medsynth.diffusion.noise import generator_for, seeded_noise
from medsynth.diffusion.samplers import ancestral, dpmpp_2m, dpmpp_2m_sde, euler, heun
from medsynth.diffusion.schedules import VpSchedule
from medsynth.diffusion.unipc import unipc
from medsynth.errors import MedsynthError
from tests.diffusion.known import MEAN, STD, gaussian, gaussian_flow, log_grid, mixture, mixture_flow, silent_noise

ORDERS = {
    "euler": (euler, 1),
    "heun": (heun, 2),
    "dpmpp_2m": (dpmpp_2m, 2),
    "unipc 1": (functools.partial(unipc, order=1), 2),
    "unipc 2": (functools.partial(unipc, order=2), 3),
    "unipc 3": (functools.partial(unipc, order=3), 4),
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize(("data", "flow"), [(gaussian, gaussian_flow), (mixture, mixture_flow)])
@pytest.mark.parametrize("spatial", [(2, 2), (2, 2, 2)])
def test_order_of_convergence(name, data, flow, spatial):
    sampler, order = ORDERS[name]
    start = 80 * torch.randn(32, 1, *spatial, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    counts = [160, 226, 320, 452, 640]
    errors = [
        (sampler(data, start, log_grid(steps), Condition(), silent_noise) - flow(start, 80.0, 0.01)).norm().item()
        for steps in counts
    ]
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.12)


def law(sampler, denoise, grid, start_std):
    """Mean and standard deviation that a stochastic sampler ends in, exactly: it is linear in all its noise.

    Row 0 of one batch meets no noise, row 1 that of the start alone, row 2 + i that of step i alone.
    """
    steps = len(grid) - 1
    start = torch.zeros(steps + 2, 1, 1, 1, dtype=torch.float64)
    start[1] = start_std

    def fresh(step):
        noise = torch.zeros_like(start)
        noise[2 + step] = 1
        return noise

    ends = sampler(denoise, start, grid, Condition(), fresh).flatten()
    return ends[0].item(), (ends[1:] - ends[0]).norm().item()


@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        (dpmpp_2m_sde, 2),
        (functools.partial(heun, churn=8), 2),
        (ancestral, 1),
    ],
)
def test_stochastic_law_converges_to_the_closed_form(sampler, order):
    """y ~ N(MEAN, STD^2) seen through noise sigma has variance STD^2 + sigma^2."""
    counts, errors = [40, 80, 160, 320], []
    for steps in counts:
        grid = log_grid(steps, 2000.0, 0.05)
        mean, std = law(sampler, gaussian, grid, 2000.0)
        errors.append(abs(std - math.sqrt(STD**2 + 0.05**2)))
        assert mean == pytest.approx(MEAN, abs=0.2 / steps)
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope > order - 0.3
    assert errors[-1] < (1e-3 if order == 2 else 1e-2)


def test_covariance_of_a_stochastic_sampler_is_the_datas():
    """Two voxels that vary together: the law keeps their covariance."""
    data = torch.tensor([[0.5, 0.3], [0.3, 0.4]], dtype=torch.float64)

    def denoise(x, sigma, condition):
        gain = data @ torch.linalg.inv(data + sigma[0] ** 2 * torch.eye(2, dtype=torch.float64))
        return (x.reshape(len(x), 2) @ gain.T).reshape(x.shape)

    grid = log_grid(400, 500.0, 0.02)
    unit = torch.eye(2, dtype=torch.float64).reshape(2, 1, 2)
    start = torch.zeros(2 * len(grid), 1, 2, dtype=torch.float64)
    start[:2] = 500 * unit

    def fresh(step):
        noise = torch.zeros_like(start)
        noise[2 + 2 * step : 4 + 2 * step] = unit
        return noise

    for sampler in (dpmpp_2m_sde, ancestral, functools.partial(heun, churn=8)):
        ends = sampler(denoise, start, grid, Condition(), fresh).reshape(-1, 2)
        found = ends.T @ ends
        assert torch.allclose(found, data + 0.02**2 * torch.eye(2), rtol=0.03)


def test_stochastic_law_of_one_point_is_exact_at_any_number_of_steps():
    """Around a known point the noise has standard deviation sigma at every step, however long the step."""

    def known(x, sigma, condition):
        return torch.full_like(x, MEAN)

    for steps in (1, 3, 10):
        grid = karras_grid(steps + 1, 0.3, 10.0)[:-1]
        for sampler in (dpmpp_2m_sde, ancestral):
            mean, std = law(sampler, known, grid, 10.0)
            # the start knows nothing of the point: its mean, -MEAN away, shrinks by the square of the noise
            assert mean == pytest.approx(MEAN * (1 - (0.3 / 10) ** 2))
            assert std == pytest.approx(0.3)


@pytest.mark.parametrize("steps", [1000, 250, 50])
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_ancestral_chain_has_the_law_of_its_recursion_in_ddpms_own_terms(steps, variance, kind):
    """Ho et al. 2020, eq. 7: mean and variance of x_t step by step, for data whose E[y | x] is linear."""
    schedule = VpSchedule(kind=kind)
    grid = schedule_grid(schedule, steps)
    shares = torch.cumprod(1 - schedule.betas(), 0)  # alpha bar
    places = torch.linspace(999, 0, steps, dtype=torch.float64).round().long().tolist()
    mean, spread = 0.0, 1.0  # of x_T, in DDPM's units
    for place, following in zip(places, [*places[1:], None], strict=True):
        share = shares[place].item()
        before = 1.0 if following is None else shares[following].item()
        beta = 1 - share / before
        # E[y | x_t] = gain x_t + offset
        gain = math.sqrt(share) * STD**2 / (share * STD**2 + 1 - share)
        offset = MEAN - gain * math.sqrt(share) * MEAN
        of_y = math.sqrt(before) * beta / (1 - share)
        of_x = math.sqrt(1 - beta) * (1 - before) / (1 - share)
        posterior = beta * (1 - before) / (1 - share)
        mean = of_y * (gain * mean + offset) + of_x * mean
        added = 0.0 if following is None else beta if variance == "large" else posterior
        spread = (of_y * gain + of_x) ** 2 * spread + added
    start = math.sqrt(1 + grid[0].item() ** 2)
    found = law(functools.partial(ancestral, variance=variance), gaussian, grid, start)
    assert found == (pytest.approx(mean, abs=1e-9), pytest.approx(math.sqrt(spread), rel=1e-9))


def test_churn_is_only_where_it_is_told():
    x, grid, asked = torch.randn(1, 1, 2, 2), karras_grid(9), []

    def fresh(step):
        asked.append(step)
        return torch.zeros_like(x)

    heun(gaussian, x, grid, Condition(), fresh, churn=5, churn_min=0.5, churn_max=20.0)
    assert asked == [step for step, sigma in enumerate(grid[:-1].tolist()) if 0.5 <= sigma <= 20]
    assert torch.equal(heun(gaussian, x, grid, Condition(), fresh), heun(gaussian, x, grid, Condition()))
    assert torch.equal(
        dpmpp_2m_sde(gaussian, x, grid, Condition(), silent_noise, calm=1e3), dpmpp_2m(gaussian, x, grid, Condition())
    )
    asked.clear()
    dpmpp_2m_sde(gaussian, x, grid, Condition(), fresh, calm=grid[3].item())
    assert asked == [0, 1]


@pytest.mark.parametrize("sampler", [euler, heun, dpmpp_2m, unipc, dpmpp_2m_sde, ancestral])
def test_grid_that_ends_at_zero_gives_the_data_distribution(sampler):
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(4000, 1, 2, 2, generator=generator)
    result = sampler(
        gaussian, 80 * noise, karras_grid(100), Condition(), lambda _: torch.randn(noise.shape, generator=generator)
    )
    assert result.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert result.std().item() == pytest.approx(STD, rel=0.03 if sampler is not ancestral else 0.07)


@pytest.mark.parametrize(
    ("sampler", "evaluations"),
    [(euler, 7), (heun, 2 * 7 - 1), (dpmpp_2m, 7), (unipc, 7), (dpmpp_2m_sde, 7), (ancestral, 7)],
)
def test_number_of_evaluations(sampler, evaluations):
    calls, steps = [], []

    def counting(x, sigma, condition):
        calls.append(sigma)
        return gaussian(x, sigma, condition)

    sampler(
        counting, torch.ones(1, 1, 2, 2), karras_grid(7), Condition(), lambda _: torch.ones(1, 1, 2, 2), steps.append
    )
    assert len(calls) == evaluations
    assert steps == [1, 2, 3, 4, 5, 6, 7]
    assert all(sigma.device.type == "cpu" for sigma in calls)


@pytest.mark.parametrize(
    ("sampler", "wrong"),
    [
        (unipc, {"order": 0}),
        (ancestral, {"variance": "medium"}),
        (heun, {"churn": -1.0}),
        (heun, {"churn_noise": -1.0}),
    ],
)
def test_options_that_make_no_sense(sampler, wrong):
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(MedsynthError, match=next(iter(wrong))):
        sampler(gaussian, x, karras_grid(3), Condition(), lambda _: x, **wrong)


def test_noise_depends_on_seed_and_index_alone():
    together = seeded_noise(7, [0, 1, 2], (1, 3, 3))
    alone = seeded_noise(7, [1], (1, 3, 3))
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(seeded_noise(8, [1], (1, 3, 3)), alone)
    assert not torch.equal(torch.rand(3, generator=generator_for(1, 11)), torch.rand(3, generator=generator_for(11, 1)))
