"""From noise to latents: where sampling starts, the noise of its steps, guidance."""

import pytest
import torch
from torch import nn

from medsynth.diffusion.gaussian import from_coarse, to_coarse
from medsynth.geometry import Geometry
from medsynth.models import model as models
from medsynth.models.conditioner import ClassConditioner
from medsynth.models.layout import ImageChannel, Layout
from medsynth.models.model import DiffusionModel, SamplingPlan
from medsynth.nets.autoencoders import Identity

SIDE = 8
LAYOUT = Layout(
    images=(ImageChannel(name="ct", units="HU", low=-100, high=100),),
    label=None,
    grid=Geometry.centred((SIDE,) * 2, (1, 1)),
)


class Told(nn.Module):
    """F is 1 where the first class is asked for; without a condition it is 0 and leaves what the prior expects."""

    def forward(self, seen, c_noise, condition):
        del c_noise
        silent = torch.zeros_like(seen[:, : seen.shape[1] // 2])
        return silent if condition.vector is None else silent + condition.vector[:, 0].reshape(-1, 1, 1, 1)


def model(classes=None, modes=0) -> DiffusionModel:
    made = DiffusionModel(LAYOUT, Identity(), Told(), ClassConditioner(classes), modes=modes)
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, SIDE).expand(1, SIDE, SIDE)
    own = torch.randn(64, 1, 1, 1, generator=generator)
    x = 0.5 + 2 * ramp.transpose(1, 2) + own * ramp + 0.1 * torch.randn(64, 1, SIDE, SIDE, generator=generator)
    made.fit_latents(iter([x]), range(64))
    return made


def latents(made: DiffusionModel, count: int = 2, condition=None, **plan) -> torch.Tensor:
    return made.sample_latents(range(count), [condition or {}] * count, seed=3, plan=SamplingPlan(**plan))


def test_a_silent_network_gives_samples_of_the_prior() -> None:
    """From a sigma below the data's own: what began at white noise would lose most of its variance."""
    made = model(modes=1)
    prior = made.prior
    assert prior.variances.item() > 8
    z = latents(made, 2000, steps=40, sigma_max=2.0)
    coarse = to_coarse(z, prior.factor)
    along = coarse.flatten(1) @ prior.modes.flatten(1).T
    assert along.var().item() == pytest.approx(prior.variances.item(), rel=0.1)
    centre = (prior.mean_map.flatten() @ prior.modes.flatten()).item()
    assert along.mean().item() == pytest.approx(centre, abs=0.25)
    assert (coarse.mean(0) - prior.mean_map).abs().max() < 0.2
    off_grid = z - from_coarse(coarse, prior.factor)
    free = 1 - 1 / prior.factor**2
    assert off_grid.var().item() == pytest.approx(free * prior.fine_std.item() ** 2, rel=0.05)


def test_every_step_of_a_stochastic_sampler_has_noise_of_its_own(monkeypatch) -> None:
    drawn = []

    def looked_at(denoise, x, sigmas, condition, on_step, fresh):
        drawn.append([x / sigmas[0], *(fresh(step, 10.0) for step in (0, 1, 2, 0))])
        return x

    monkeypatch.setitem(models.SAMPLERS, "dpmpp_2m_sde", looked_at)
    latents(model(), 50, name="dpmpp_2m_sde")
    start, *steps, again = (noise.flatten() for noise in drawn[0])
    assert torch.equal(steps[0], again)
    correlation = torch.corrcoef(torch.stack([start, *steps]))
    assert (correlation - torch.eye(4)).abs().max() < 0.1


def test_guidance_pushes_towards_the_class() -> None:
    """F is 1 for the class and 0 for the null, so guidance g samples as a network whose F is g."""
    made = model({"class": ["a", "b"]})
    null, asked, other = (latents(made, condition=condition) for condition in ({}, {"class": "a"}, {"class": "b"}))
    assert torch.equal(null, other)
    assert (asked - null).abs().min() > 0.01
    for scale in (0.0, 2.5):
        guided = latents(made, condition={"class": "a"}, guidance=scale)
        assert torch.allclose(guided - null, scale * (asked - null), atol=1e-4)
