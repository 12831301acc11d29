"""Samplers against theory: Gaussian data has a closed-form denoiser and a closed-form path."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.grids import karras_grid
from medsynth.diffusion.guidance import classifier_free
from medsynth.diffusion.noise import generator_for, log_normal_sigma, seeded_noise, stratified_uniform
from medsynth.diffusion.preconditioning import Condition, preconditioned
from medsynth.diffusion.samplers import dpmpp_2m, heun

STD, MEAN = 0.5, 0.3


def gaussian(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
    """E[y | x] for y ~ N(MEAN, STD^2)."""
    level = sigma.reshape(-1, *(1,) * (x.ndim - 1)) ** 2
    return (STD**2 * x + level * MEAN) / (STD**2 + level)


def exact(x: Tensor, start: float, end: float) -> Tensor:
    """The probability-flow solution: x - MEAN scales with the total standard deviation."""
    return MEAN + (x - MEAN) * math.sqrt((STD**2 + end**2) / (STD**2 + start**2))


@pytest.mark.parametrize(("sampler", "order"), [(heun, 2), (dpmpp_2m, 2)])
@pytest.mark.parametrize("spatial", [(4, 4), (3, 3, 3)])
def test_order_of_convergence(sampler, order, spatial):
    noise = torch.randn(2, 1, *spatial, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    start, end = 20.0, 0.01
    counts = [80, 160, 320, 640]
    errors = []
    for steps in counts:
        grid = torch.linspace(math.log(start), math.log(end), steps + 1, dtype=torch.float64).exp()
        result = sampler(gaussian, start * noise, grid, Condition())
        errors.append((result - exact(start * noise, start, end)).abs().max().item())
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.1)


def law_of_sde(denoise, grid):
    """Mean and standard deviation that the stochastic sampler ends in, exactly: it is linear in all its noise."""

    def end(start, noisy_step=None):
        def fresh(step, sigma):
            return torch.full((1, 1, 1, 1), float(step == noisy_step), dtype=torch.float64)

        x = torch.full((1, 1, 1, 1), start, dtype=torch.float64)
        return dpmpp_2m(denoise, x, grid, Condition(), fresh=fresh).item()

    mean = end(0.0)
    parts = [(end(1.0) - mean) * grid[0].item(), *(end(0.0, step) - mean for step in range(len(grid) - 1))]
    return mean, math.sqrt(sum(part**2 for part in parts))


def test_stochastic_law_converges_to_the_closed_form():
    """y ~ N(MEAN, STD^2) seen through noise sigma has variance STD^2 + sigma^2; the error falls with order 2."""
    counts, errors = [40, 80, 160, 320], []
    for steps in counts:
        grid = torch.linspace(math.log(2000.0), math.log(0.05), steps + 1, dtype=torch.float64).exp()
        mean, std = law_of_sde(gaussian, grid)
        errors.append(abs(std - math.sqrt(STD**2 + 0.05**2)))
        assert mean == pytest.approx(MEAN, abs=0.2 / steps)
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope > 1.7
    assert errors[-1] < 1e-3


def test_stochastic_law_of_one_point_is_exact_at_any_number_of_steps():
    """Around a known point the noise has standard deviation sigma at every step, however long the step."""

    def known(x, sigma, condition):
        return torch.full_like(x, MEAN)

    for steps in (1, 3, 10):
        grid = karras_grid(steps + 1, 0.3, 10.0)[:-1]
        mean, std = law_of_sde(known, grid)
        # the start knows nothing of the point: its mean, -MEAN away, shrinks by the square of the noise
        assert mean == pytest.approx(MEAN * (1 - (0.3 / 10) ** 2))
        assert std == pytest.approx(0.3)


def test_a_step_without_noise_is_deterministic():
    x, grid, asked = torch.randn(1, 1, 2, 2), karras_grid(9), []

    def calm(step, sigma):
        asked.append((step, sigma))

    expected = dpmpp_2m(gaussian, x, grid, Condition())
    assert torch.equal(dpmpp_2m(gaussian, x, grid, Condition(), fresh=calm), expected)
    assert asked == list(enumerate(grid[1:-1].tolist()))


@pytest.mark.parametrize("sampler", [heun, dpmpp_2m])
def test_grid_that_ends_at_zero_gives_the_data_distribution(sampler):
    noise = torch.randn(4000, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    result = sampler(gaussian, 80 * noise, karras_grid(30), Condition())
    assert result.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert result.std().item() == pytest.approx(STD, rel=0.03)


@pytest.mark.parametrize(("sampler", "evaluations"), [(heun, 2 * 7 - 1), (dpmpp_2m, 7)])
def test_number_of_evaluations(sampler, evaluations):
    calls, steps = [], []

    def counting(x, sigma, condition):
        calls.append(sigma)
        return gaussian(x, sigma, condition)

    sampler(counting, torch.ones(1, 1, 2, 2), karras_grid(7), Condition(), steps.append)
    assert len(calls) == evaluations
    assert steps == [1, 2, 3, 4, 5, 6, 7]


def test_karras_grid_is_the_papers():
    grid = karras_grid(3, sigma_min=0.1, sigma_max=10, rho=2)
    middle = ((math.sqrt(10) + math.sqrt(0.1)) / 2) ** 2
    assert grid.tolist() == pytest.approx([10, middle, 0.1, 0])


def test_input_and_target_have_unit_variance_in_every_channel():
    generator = torch.Generator().manual_seed(0)
    sigma_data = torch.tensor([0.1, 2.0])
    clean = torch.randn(20000, 2, 1, 1, generator=generator) * sigma_data.reshape(1, 2, 1, 1)
    noise = torch.randn(20000, 2, 1, 1, generator=generator)
    prior = GaussianPrior(2, (1, 1))
    prior.fit(iter([clean]), range(20000))
    for level in (0.05, 1.0, 30.0):
        sigma, noisy, inputs = torch.full((20000,), level), clean + level * noise, []

        def network(seen, c_noise, condition):
            inputs.append((seen, c_noise))  # noqa: B023
            return torch.zeros_like(seen[:, :2])

        expected = preconditioned(network, noisy, sigma, Condition(), prior, sigma_data)
        target = (clean - expected) / prior.std(sigma, 4)
        assert torch.allclose(inputs[0][0][:, :2].std((0, 2, 3)), torch.ones(2), atol=0.03)
        assert torch.allclose(inputs[0][0][:, 2:] * sigma_data.reshape(2, 1, 1), expected)
        assert torch.allclose(inputs[0][1], sigma.log() / 4)
        assert torch.allclose(target.std((0, 2, 3)), torch.ones(2), atol=0.03)


def test_denoise_is_float32_around_a_bfloat16_network():
    def network(seen, level, condition):
        return seen[:, :1].to(torch.bfloat16)

    x = torch.randn(2, 1, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = preconditioned(
            network, x, torch.tensor([1.0, 2.0]), Condition(), GaussianPrior(1, (4, 4)), torch.tensor([0.5])
        )
    assert result.dtype == torch.float32


def test_classifier_free_guidance_is_linear_between_the_two():
    def denoise(x, sigma, condition):
        return x + condition.vector.reshape(-1, 1, 1, 1)

    x, sigma = torch.zeros(1, 1, 1, 1), torch.ones(1)
    null, asked = Condition(vector=torch.tensor([[1.0]])), Condition(vector=torch.tensor([[3.0]]))
    values = {s: classifier_free(denoise, null, s)(x, sigma, asked).item() for s in (0, 0.5, 1, 2)}
    assert values == {0: 1.0, 0.5: 2.0, 1: 3.0, 2: 5.0}


def test_noise_depends_on_seed_and_index_alone():
    together = seeded_noise(7, [0, 1, 2], (1, 3, 3))
    alone = seeded_noise(7, [1], (1, 3, 3))
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(seeded_noise(8, [1], (1, 3, 3)), alone)
    assert not torch.equal(torch.rand(3, generator=generator_for(1, 11)), torch.rand(3, generator=generator_for(11, 1)))


def test_sigma_distribution():
    uniform = torch.cat([stratified_uniform(0, step, range(8), 8) for step in range(2000)])
    logs = log_normal_sigma(uniform, -1.2, 1.2).log()
    assert logs.mean().item() == pytest.approx(-1.2, abs=0.01)
    assert logs.std().item() == pytest.approx(1.2, rel=0.01)
    halves = [stratified_uniform(0, 3, part, 8) for part in (range(4), range(4, 8))]
    assert torch.equal(torch.cat(halves), stratified_uniform(0, 3, range(8), 8))
