"""Editing against theory: what is known stays, what is free has the conditional law, ways up come down again."""

import functools
import math

import numpy as np
import pytest
import torch

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.editing import between, inverted, start, strength_grid, travelled, varied
from medsynth.diffusion.grids import karras_grid
from medsynth.diffusion.projections import keep_outside, projected, with_means
from medsynth.diffusion.samplers import ancestral, dpmpp_2m, dpmpp_2m_sde, euler, heun
from medsynth.diffusion.unipc import unipc
from medsynth.errors import MedsynthError
from medsynth.nets.autoencoders import Haar
from tests.diffusion.known import MEAN, STD, gaussian, gaussian_flow, log_grid, mixture, mixture_flow, silent_noise

SAMPLERS = [euler, heun, dpmpp_2m, unipc, dpmpp_2m_sde, ancestral]


def white(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def numbered(shape):
    return lambda step: white(1000 + step, *shape)


def stripes(spatial):
    mask = torch.zeros(1, 1, *spatial, dtype=torch.bool)
    mask[..., 1::3] = True
    return mask


@pytest.mark.parametrize("spatial", [(4, 6), (2, 4, 6)])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_known_is_there_at_the_end_and_seen_through_its_noise_on_the_way(sampler, spatial):
    shape, mask, grid = (3, 2, *spatial), stripes(spatial), karras_grid(8)
    known, noise, levels = white(1, *shape), white(2, *shape), []
    outside = ~mask.expand(shape)

    def denoise(x, sigma, condition):
        levels.append(((x - known)[outside].std() / sigma[0]).item())
        return mixture(x, sigma, condition)

    project = keep_outside(known, mask)
    begin = start(80 * white(3, *shape), noise, 80.0, project)
    assert torch.allclose((begin - known)[outside], 80 * noise[outside], rtol=1e-12)
    assert torch.equal(begin[~outside], (80 * white(3, *shape) - 80 * noise + 80 * noise)[~outside])
    made = sampler(projected(denoise, project), begin, grid, Condition(), numbered(shape))
    assert torch.equal(made[outside], known[outside])
    assert levels == pytest.approx([1] * len(levels), abs=0.35)
    if sampler in (euler, heun, dpmpp_2m, unipc):  # the noise is the start's all the way
        assert levels == pytest.approx([noise[outside].std().item()] * len(levels), rel=1e-9)


@pytest.mark.parametrize("sampler", [heun, dpmpp_2m])
def test_an_independent_inside_is_made_as_if_nothing_were_known(sampler):
    shape, mask = (2, 1, 4, 6), stripes((4, 6))
    begin, project = 80 * white(3, *shape), keep_outside(white(1, *shape), mask)
    made = sampler(
        projected(mixture, project), start(begin, white(2, *shape), 80.0, project), log_grid(20), Condition()
    )
    free = sampler(mixture, begin, log_grid(20), Condition())
    assert torch.allclose(made[mask.expand(shape)], free[mask.expand(shape)], atol=1e-12)


def test_a_projection_of_samples_is_one_of_orthonormal_latents():
    haar, mask = Haar(levels=1), stripes((4, 6))
    known, noise = white(1, 2, 1, 4, 6), white(2, 2, 4, 2, 3)
    kept = keep_outside(known, mask)

    def project(z):
        return haar.encode(kept(haar.decode(z)))

    begin = start(80 * white(3, 2, 4, 2, 3), noise, 80.0, project)
    made = haar.decode(heun(projected(gaussian, project), begin, karras_grid(8), Condition()))
    outside = ~mask.expand(known.shape)
    assert torch.allclose(haar.decode(begin)[outside], (known + 80 * haar.decode(noise))[outside])
    assert torch.allclose(made[outside], known[outside], atol=1e-12)


@pytest.mark.parametrize(("spatial", "axis"), [((6, 4), 0), ((2, 4, 6), 2)])
def test_thick_slices_keep_their_means_and_nothing_else_is_touched(spatial, axis):
    z = white(1, 2, 1, *spatial)
    truth = white(2, 2, 1, *spatial)
    means = truth.unflatten(2 + axis, (-1, 2)).mean(3 + axis)
    project = with_means(means, axis, 2)
    found = project(z)
    assert torch.allclose(found.unflatten(2 + axis, (-1, 2)).mean(3 + axis), means, atol=1e-14)
    assert torch.allclose(project(found), found, atol=1e-14)
    change = (found - z).unflatten(2 + axis, (-1, 2)).movedim(3 + axis, -1)
    assert torch.allclose(change[..., 0], change[..., 1])  # the shortest way: one number a run
    made = dpmpp_2m(
        projected(gaussian, project), start(80 * z, white(3, *z.shape), 80.0, project), karras_grid(9), Condition()
    )
    assert torch.allclose(made.unflatten(2 + axis, (-1, 2)).mean(3 + axis), means, atol=1e-12)
    with pytest.raises(ValueError, match="runs of 3"):
        with_means(means, axis, 3)(z)


def conditional_law(sampler, steps, reach=0.0, rho=0.9):
    """Regression of a free coordinate on a known one and its own spread, of pairs with correlation rho: exactly.

    All is linear: row 0 has the known value 1 and no noise, each other row one unit of noise alone.
    """
    data = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    mask, grid, numbers = torch.tensor([[[True, False]]]), karras_grid(steps), 2000

    def denoise(x, sigma, condition):
        gain = data @ torch.linalg.inv(data + sigma[0] ** 2 * torch.eye(2, dtype=torch.float64))
        return x @ gain.T

    noise = torch.zeros(3 + 2 * numbers, 1, 2, dtype=torch.float64)
    known = torch.zeros_like(noise)
    known[0, 0, 1] = 1
    noise[1, 0, 0] = noise[2, 0, 1] = 1

    def fresh(step):
        unit = torch.zeros_like(noise)
        unit[3 + 2 * step, 0, 0] = unit[4 + 2 * step, 0, 1] = 1
        return unit

    begin = start(80 * noise, noise, 80.0, keep_outside(known, mask))
    ends = sampler(projected(denoise, keep_outside(known, mask, reach)), begin, grid, Condition(), fresh)[:, 0, 0]
    return ends[0].item(), ends[1:].norm().item()


def test_the_bias_of_replacement_is_what_the_docstring_says_and_time_travel_takes_it_away():
    wanted = pytest.approx((0.9, math.sqrt(1 - 0.81)), abs=0.09)
    window = {"low": 0.05, "high": 5.0}
    assert conditional_law(dpmpp_2m, 20) == pytest.approx((0.47, 0.74), abs=0.006)
    assert conditional_law(heun, 160) == pytest.approx((0.45, 0.72), abs=0.006)  # not for want of steps
    assert conditional_law(dpmpp_2m_sde, 20) == pytest.approx((0.68, 0.65), abs=0.006)
    once = conditional_law(travelled(dpmpp_2m, 3, **window), 20)
    more = conditional_law(travelled(dpmpp_2m, 9, **window), 20)
    assert 0.47 < once[0] < more[0] < 0.9
    assert more == pytest.approx((0.82, 0.45), abs=0.006)
    best = conditional_law(travelled(dpmpp_2m_sde, 9, **window), 40)
    assert best == pytest.approx((0.87, 0.42), abs=0.006)
    assert (more, best) == (wanted, wanted)
    assert conditional_law(dpmpp_2m, 20) != wanted


def test_what_a_reach_does_to_pairs_is_what_the_docstring_says():
    """Near the truth by itself, too much on top of time travel, and wrong where nothing depends on the known."""
    assert conditional_law(dpmpp_2m, 20, reach=1.5) == pytest.approx((0.91, 0.45), abs=0.006)
    both = conditional_law(travelled(dpmpp_2m, 9, low=0.05, high=5.0), 20, reach=1.5)
    assert both == pytest.approx((0.98, 0.38), abs=0.006)
    assert conditional_law(dpmpp_2m, 20, rho=0.0) == pytest.approx((0, 1.04), abs=0.006)
    assert conditional_law(dpmpp_2m, 20, reach=1.5, rho=0.0) == pytest.approx((0.72, 1.29), abs=0.006)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_time_travel_keeps_what_is_known_and_the_law_without_it(sampler):
    """On independent data going up and down changes no law; noise is never the same twice."""
    shape, asked, told, mask = (4000, 1, 2, 2), [], [], torch.tensor([[True, False], [True, False]])
    generator = torch.Generator().manual_seed(5)

    def fresh(step):
        asked.append(step)
        return torch.randn(shape, generator=generator)

    known = torch.full(shape, 0.7)
    project, noise = keep_outside(known, mask), torch.randn(shape, generator=generator)
    grid = karras_grid(160)
    walked = travelled(sampler, 2, jump=3, low=0.05, high=5.0)
    made = walked(
        projected(gaussian, project), start(80 * noise, noise, 80.0, project), grid, Condition(), fresh, told.append
    )
    assert (made[..., 1] == 0.7).all()
    assert made[..., 0].mean().item() == pytest.approx(MEAN, abs=0.02)
    assert made[..., 0].std().item() == pytest.approx(STD, rel=0.04 if sampler is not ancestral else 0.07)
    assert len(asked) == len(set(asked)) > 0
    assert told == list(range(1, 161))


def test_time_travel_walks_again_only_between_its_levels():
    levels, grid = [], torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.0])

    def denoise(x, sigma, condition):
        levels.append(sigma[0].item())
        return torch.zeros_like(x)

    x = torch.zeros(1, 1, 2)
    travelled(euler, 1, jump=2, low=0.5, high=4.0)(denoise, x, grid, Condition(), lambda _: torch.zeros_like(x))
    assert levels == [8, 4, 2, 4, 2, 1, 0.5, 1, 0.5, 0.25]
    assert travelled(euler, 0) is euler
    for wrong in ({"returns": -1}, {"returns": 1, "jump": 0}):
        with pytest.raises(MedsynthError, match="returns"):
            travelled(euler, **wrong)


@pytest.mark.parametrize(("data", "flow"), [(gaussian, gaussian_flow), (mixture, mixture_flow)])
@pytest.mark.parametrize("spatial", [(2, 2), (2, 2, 2)])
def test_inversion_follows_the_flow_up_and_comes_down_again(data, flow, spatial):
    x = MEAN + STD * white(0, 16, 1, *spatial)
    counts, up, down, other = [80, 113, 160, 226, 320], [], [], []
    for steps in counts:
        grid = log_grid(steps)
        top = inverted(data, x, grid, Condition())
        up.append((flow(top, 80.0, 0.01) - x).norm().item())
        down.append((heun(data, top, grid, Condition(), silent_noise) - x).norm().item())
        other.append((dpmpp_2m(data, top, grid, Condition()) - x).norm().item())
    slopes = [-np.polyfit(np.log(counts), np.log(errors), 1)[0] for errors in (up, down, other)]
    assert slopes == [pytest.approx(2, abs=0.15), pytest.approx(3, abs=0.3), pytest.approx(2, abs=0.15)]


def test_inversion_takes_a_grid_that_ends_at_zero():
    x, told = MEAN + STD * white(0, 4, 1, 3, 3), []
    grid = karras_grid(60)
    top = inverted(gaussian, x, grid, Condition(), told.append)
    assert told == list(range(1, 60))
    assert torch.allclose(top, gaussian_flow(x, 0.002, 80.0), rtol=0.02)
    assert torch.allclose(heun(gaussian, top, grid, Condition()), x, atol=1e-3)


@pytest.mark.parametrize("spatial", [(64, 64), (16, 16, 16)])
def test_variations_and_mixtures_keep_noise_white(spatial):
    one, other = white(1, 8, 1, *spatial), white(2, 8, 1, *spatial)
    for mixed in (varied(one, other, 0.3), between(one, other, 0.3), between(one, varied(one, other, 0.6), 0.5)):
        assert mixed.var().item() == pytest.approx(1, abs=0.02)
        assert mixed.mean().item() == pytest.approx(0, abs=0.02)
    assert (varied(one, other, 0.3) * one).mean().item() == pytest.approx(math.sqrt(1 - 0.09), abs=0.02)
    for make in (varied, between):
        assert torch.equal(make(one, other, 0), one)
        assert torch.equal(make(one, other, 1), other)


def test_between_goes_round_the_sphere_sample_by_sample():
    first = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]]], dtype=torch.float64)
    second = torch.tensor([[[0.0, 1.0]], [[0.0, 3.0]]], dtype=torch.float64)
    third = between(first, second, 1 / 3)
    assert torch.allclose(third[0], torch.tensor([[math.cos(math.pi / 6), 0.5]], dtype=torch.float64))
    assert torch.allclose(third[1], first[1])
    with pytest.raises(MedsynthError, match="opposite"):
        between(first, -first, 0.5)


@pytest.mark.parametrize("make", [functools.partial(between, share=0.5), functools.partial(varied, amount=0.6)])
def test_the_datas_mean_grows_unless_it_is_the_centre(make):
    mean = torch.full((64, 1, 20, 20), 3.0, dtype=torch.float64)
    one, other = mean + white(1, *mean.shape), mean + white(2, *mean.shape)
    args = {"share": 0.5} if make.func is between else {"amount": 0.6}
    turned = make.func(one, other, **args, centre=mean)
    assert turned.mean().item() == pytest.approx(3, abs=0.03)
    assert turned.std().item() == pytest.approx(1, abs=0.02)
    if make.func is varied:
        assert varied(one, other, 0.6).mean().item() == pytest.approx(3 * 1.4, abs=0.03)
    assert torch.equal(make.func(one, other, 0, centre=mean), one)


def test_strength_is_a_share_of_the_steps():
    grid = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    assert torch.equal(strength_grid(grid, 1.0), grid)
    assert strength_grid(grid, 0.5).tolist() == [2, 1, 0]
    assert strength_grid(grid, 0.625).tolist() == pytest.approx([math.sqrt(8), 2, 1, 0])
    assert strength_grid(grid, 0.25).tolist() == strength_grid(grid, 0.1).tolist() == [1, 0]
    assert strength_grid(karras_grid(10), 0.7).tolist() == karras_grid(10)[3:].tolist()  # rounding cuts no step
    for wrong in (0.0, -0.1, 1.1):
        with pytest.raises(MedsynthError, match="strength"):
            strength_grid(grid, wrong)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: varied(x, x, 1.5), "amount"),
        (lambda x: between(x, x, -0.1), "share"),
    ],
)
def test_numbers_out_of_range_are_refused(call, says):
    with pytest.raises(MedsynthError, match=says):
        call(torch.ones(1, 1, 2))


def test_a_soft_mask_is_refused():
    with pytest.raises(ValueError, match="bool"):
        keep_outside(torch.zeros(1, 1, 2), torch.full((1, 1, 2), 0.5))
