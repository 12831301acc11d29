"""Cycle spinning: no trace of where a wavelet's blocks begin, and nothing else changed."""

from dataclasses import replace

import pytest
import torch

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.models.conditioner import Asked
from medsynth.models.drawing import denoiser_of, sample_latents
from medsynth.models.model import DiffusionModel
from medsynth.models.sampling import SamplingPlan
from medsynth.models.spinning import spun
from medsynth.nets.autoencoders import Haar, Identity
from tests.models.told import model

LOW = torch.tensor([0.1])


class Given:
    """A model whose D is a function of voxels, counted."""

    def __init__(self, function, levels, rank, side):
        self.autoencoder = Haar(levels)
        self.function, self.calls, self.told = function, 0, []
        self.x = torch.randn(1, 1, *(side,) * rank, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def encode(self, x):
        return self.autoencoder.encode(x)

    def decode(self, z):
        return self.autoencoder.decode(z)

    def moved(self, _, offset):
        return offset

    def denoise(self, z, _, condition):
        self.told.append(condition)
        self.calls += 1
        return self.function(self, z)

    def spun(self, sigma=LOW, below=0.2):
        return self.decode(spun(self, below)(self.encode(self.x), sigma, Condition()))


def neighbours(given, z):
    """The same at every voxel: half of it and half of the next along each axis."""
    x = given.decode(z)
    return given.encode(0.5 * x + 0.5 * x.roll((1,) * (x.ndim - 2), tuple(range(2, x.ndim))))


def block_means(given, z):
    """Knows nothing within a block: all bands but the first are gone."""
    return torch.cat([z[:, :1], torch.zeros_like(z[:, 1:])], dim=1)


SIZES = [(1, 2, 16), (2, 2, 32), (1, 3, 12), (2, 3, 24)]


@pytest.mark.parametrize(("levels", "rank", "side"), SIZES)
def test_what_knows_no_blocks_is_left_as_it_is(levels, rank, side):
    given = Given(neighbours, levels, rank, side)
    expected = given.decode(given.denoise(given.encode(given.x), LOW, Condition()))
    given.calls = 0
    # Inside; at a border the one that is moved sees the other border beside it, and does not count.
    torch.testing.assert_close(given.spun(), expected, rtol=0, atol=1e-12)
    assert given.calls == 2**levels
    assert given.told[-(2**levels) :] == [Condition(), *range(1, 2**levels)]  # each told what is moved as far


@pytest.mark.parametrize(("levels", "rank", "side"), SIZES)
def test_block_means_become_the_mean_over_all_blocks_that_hold_a_voxel(levels, rank, side):
    given, stride = Given(block_means, levels, rank, side), 2**levels
    found = given.spun()[0, 0]
    place = (side // 2 + 1,) * rank
    # Along the diagonal: blocks that begin 0 to stride - 1 voxels before the voxel, on every axis alike.
    firsts = [[(p - k) // stride * stride + k for p in place] for k in range(stride)]
    blocks = [given.x[0, 0][tuple(slice(f, f + stride) for f in first)].mean() for first in firsts]
    assert found[place].item() == pytest.approx(torch.stack(blocks).mean().item(), abs=1e-12)
    plain = given.decode(given.denoise(given.encode(given.x), LOW, Condition()))[0, 0]
    assert plain[place].item() == pytest.approx(blocks[0].item(), abs=1e-12)


@pytest.mark.parametrize("levels", [1, 2])
def test_no_lattice_is_left(levels):
    """How much more neighbours differ across the border of two blocks than inside one."""
    given, stride = Given(block_means, levels, 2, 128), 2**levels
    margin = 2 * stride

    def lattice(x):
        steps = x[0, 0, margin:-margin, margin:-margin].diff(dim=0).abs().mean(1)
        across = steps[stride - 1 :: stride].mean()
        inside = torch.cat([steps[k::stride] for k in range(stride - 1)]).mean()
        return float(across / inside)

    assert lattice(given.spun()) == pytest.approx(1, abs=0.15)
    plain = given.decode(given.denoise(given.encode(given.x), LOW, Condition()))
    assert lattice(plain + 1e-9 * given.x) > 1e3


def test_near_a_border_only_the_own_blocks_count():
    given = Given(block_means, 1, 2, 16)
    plain = given.decode(given.denoise(given.encode(given.x), LOW, Condition()))
    same = (given.spun() - plain).abs()[0, 0] < 1e-12
    assert same[:4].all()
    assert same[-4:].all()
    assert same[:, :4].all()
    assert not same[4:-4, 4:-4].all()


@pytest.mark.parametrize(("sigma", "below", "calls"), [(0.25, 0.25, 1), (0.2, 0.25, 4), (1.0, 0.0, 1)])
def test_other_levels_cost_one_evaluation(sigma, below, calls):
    given = Given(neighbours, 2, 2, 32)
    given.spun(torch.tensor([sigma]), below)
    assert given.calls == calls


def test_voxels_have_no_blocks():
    plain = model(Identity())
    assert spun(plain, 0.2) == plain.denoise


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("offset", [1, 3])
def test_what_is_given_moves_along(rank, offset):
    told = model(Haar(2), rank)
    layout = told.layout
    generator = torch.Generator().manual_seed(1)
    parts = torch.randn(2, layout.given.channels, *layout.grid.shape, generator=generator)
    there = torch.tensor([[True, False], [True, True]])
    vector, tokens = torch.zeros(2, 3), torch.zeros(2, 0, 4)
    axes = tuple(range(2, parts.ndim))
    expected = told.tell(vector, tokens, parts.roll((offset,) * rank, axes), there)
    moved = told.moved(told.tell(vector, tokens, parts, there), offset)
    torch.testing.assert_close(moved.spatial, expected.spatial, atol=1e-5, rtol=1e-5)
    assert torch.equal(moved.vector, expected.vector)
    assert not moved.spatial[0, -1].any()  # a part that is not there is not there


def counted(monkeypatch):
    calls = []
    denoise = DiffusionModel.denoise

    def counting(self, x, sigma, condition):
        calls.append(condition)
        return denoise(self, x, sigma, condition)

    monkeypatch.setattr(DiffusionModel, "denoise", counting)
    return calls


def test_guidance_is_of_averaged_estimates(monkeypatch):
    told, calls = model(Haar(2), side=24), counted(monkeypatch)
    plan = SamplingPlan(steps=2, spin_below=1e9, guidance=2)
    asked = [Asked({"class": "a"})]
    x = torch.randn(1, *told.latent_shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = denoiser_of(told, asked, plan)(x, LOW, told.condition(asked))
        assert len(calls) == 8
        own, null = (spun(told, 1e9)(x, LOW, told.condition(asked, dropped=d)) for d in (False, True))
    torch.testing.assert_close(found, null + 2 * (own - null))


def test_a_worse_models_estimates_are_averaged_too(monkeypatch):
    told, worse = model(Haar(2), side=24), model(Haar(2), side=24)
    calls = counted(monkeypatch)
    asked = [Asked({"class": "a"})]
    x = torch.randn(1, *told.latent_shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        denoiser_of(told, asked, SamplingPlan(spin_below=1e9, guidance=2), worse)(x, LOW, told.condition(asked))
    assert len(calls) == 8


def test_a_sample_is_the_same_whatever_else_is_in_the_batch():
    told = model(Haar(2), side=24)
    plan = SamplingPlan(steps=3, spin_below=0.5)

    def drawn(*indices, **settings):
        asked = [Asked({"class": "ab"[index % 2]}) for index in indices]
        return sample_latents(told, indices, asked, seed=0, plan=replace(plan, **settings))

    torch.testing.assert_close(drawn(0, 1, 2)[1:2], drawn(1), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(drawn(1), drawn(1, spin_below=0.0))
    assert plan.to_record()["spin_below"] == 0.5


def test_a_level_below_0_is_refused():
    for below in (-0.1, float("nan")):
        with pytest.raises(MedsynthError, match=r"sampler\.spin_below"):
            SamplingPlan(spin_below=below)
