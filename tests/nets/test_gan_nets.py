"""Generator and discriminator: any rank and any grid, conditions, gradients of gradients."""

import math

import pytest
import torch

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.discriminator import Discriminator
from medsynth.nets.generator import Generator
from medsynth.nets.residual import Block, convolution, pyramid, resampled
from medsynth.training.gan_objective import gradient_penalty

GRIDS = [(8, 8), (7, 12), (8, 12, 8), (5, 6, 9)]
SMALL = {"features": (8, 16, 16), "blocks": 1, "group_width": 8}


def pair(grid, vector=0, channels=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {"rank": len(grid), "channels": channels, "grid": grid, "vector": vector, **SMALL}
        made = Generator(**settings), Discriminator(**settings)
        for network in made:  # blocks begin as nothing: as after some training
            for block in network.modules():
                if isinstance(block, Block):
                    torch.nn.init.normal_(block.contract.weight, std=0.1)
    return made


@pytest.mark.parametrize("grid", GRIDS)
def test_shapes_on_any_grid(grid):
    generator, discriminator = pair(grid)
    x = generator(torch.randn(2, 64), Condition())
    assert x.shape == (2, 3, *grid)
    assert discriminator(x, Condition()).shape == (2,)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_new_generator_has_variance_about_one(grid):
    wide = Generator(len(grid), 32, grid, features=(64, 64), group_width=16)
    values = wide(torch.randn(64, 64), Condition())
    assert 0.2 < values.square().mean().item() < 5


@pytest.mark.parametrize("grid", [(8, 8), (5, 6, 4)])
def test_a_sample_is_its_own(grid):
    """No statistics of the batch: a gradient penalty needs that."""
    generator, discriminator = pair(grid, vector=2)
    noise, condition = torch.randn(4, 64), Condition(vector=torch.randn(4, 2))
    x = generator(noise, condition)
    alone = generator(noise[1:2], Condition(vector=condition.vector[1:2]))
    assert torch.allclose(x[1:2], alone, atol=1e-5)
    said = discriminator(x, condition)
    assert torch.allclose(said[1:2], discriminator(x[1:2], Condition(vector=condition.vector[1:2])), atol=1e-5)


@pytest.mark.parametrize("grid", [(8, 6), (4, 6, 5)])
def test_the_gradient_of_a_penalty_is_the_slope_of_the_penalty(grid):
    """Gradients of gradients through every layer, by finite differences in double precision."""
    _, discriminator = pair(grid, vector=2)
    discriminator.double()
    x = torch.randn(2, 3, *grid, dtype=torch.float64, requires_grad=True)
    condition = Condition(vector=torch.randn(2, 2, dtype=torch.float64))

    def penalty():
        # `.float()` of the logits would hide the difference
        h = discriminator.begin(x)
        finer = [*discriminator.grids[1:], discriminator.grids[-1]]
        for level, widen, sides in zip(discriminator.levels, discriminator.widen, finer, strict=True):
            h = widen(resampled(level(h), sides))
        said = discriminator.judge((h.flatten(2) * discriminator.weights).sum(-1))
        return gradient_penalty((said * discriminator.embed(condition.vector)).sum(1), x).sum()

    weight = discriminator.levels[0][0].mix.weight
    (slope,) = torch.autograd.grad(penalty(), weight)
    step, place = 1e-5, (0,) * weight.ndim
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[place] += sign * step
        values.append(penalty().item())
        with torch.no_grad():
            weight[place] -= sign * step
    assert slope[place].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-10)


def test_conditions_are_heard_and_their_null_is_zeros():
    generator, discriminator = pair((8, 8), vector=2)
    noise = torch.randn(2, 64)
    one, zeros = Condition(vector=torch.ones(2, 2)), Condition(vector=torch.zeros(2, 2))
    assert not torch.allclose(generator(noise, one), generator(noise, zeros))
    assert torch.equal(generator(noise, Condition()), generator(noise, zeros))
    x = torch.randn(2, 3, 8, 8)
    assert not torch.allclose(discriminator(x, one), discriminator(x, zeros))
    assert torch.equal(discriminator(x, Condition()), discriminator(x, zeros))
    assert discriminator(x, zeros)[0] != discriminator(x, zeros)[1]  # a null is judged too


@pytest.mark.parametrize("rank", [2, 3])
def test_resampling_to_half_is_the_mean_of_blocks_and_keeps_a_constant(rank):
    x = torch.randn(1, 2, *(6,) * rank)
    pool = torch.nn.functional.avg_pool2d if rank == 2 else torch.nn.functional.avg_pool3d
    assert torch.allclose(resampled(x, (3,) * rank), pool(x, 2), atol=1e-6)
    flat = torch.full((1, 1, *(5,) * rank), 2.5)
    assert torch.allclose(resampled(flat, (7,) * rank), torch.full((1, 1, *(7,) * rank), 2.5))


def test_a_block_begins_as_the_identity():
    x = torch.randn(1, 8, 5, 5)
    assert torch.equal(Block(2, 8, 8, 2, depth=4)(x), x)
    assert convolution(3, 64, 128, gain=2.0).weight.std().item() == pytest.approx(2 / math.sqrt(64), rel=0.05)


def test_pyramids_round_up():
    assert pyramid((32, 48, 31), 3) == [(32, 48, 31), (16, 24, 16), (8, 12, 8)]


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize(
    "wrong", [{"features": ()}, {"blocks": 0}, {"group_width": 7}, {"grid": (8,)}, {"grid": (0, 8)}, {"expansion": 0}]
)
def test_settings_that_do_not_fit_are_refused(kind, wrong):
    with pytest.raises(MedsynthError, match=r"model|discriminator"):
        kind(**{"rank": 2, "channels": 3, "grid": (8, 8), **SMALL, **wrong})


def test_rank_one_is_refused():
    with pytest.raises(MedsynthError, match="2 and 3"):
        Generator(1, 3, (8,), **SMALL)
