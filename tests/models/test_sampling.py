"""From noise to latents: where sampling starts, the noise of its steps, guidance."""

import dataclasses

import pytest
import torch
from torch import nn

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.gaussian import from_coarse, to_coarse
from medsynth.diffusion.grids import schedule_grid
from medsynth.diffusion.schedules import VpSchedule
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.models import sampling
from medsynth.models.conditioner import Asked, Conditioner
from medsynth.models.drawing import _translated, sample_latents
from medsynth.models.layout import ImageChannel, Layout
from medsynth.models.model import DiffusionModel
from medsynth.models.parametrisation import ParametrisationPlan
from medsynth.models.sampling import SamplingPlan
from medsynth.nets.autoencoders import Identity

SIDE = 8
LAYOUT = Layout(
    images=(ImageChannel(name="ct", units="HU", low=-100, high=100),),
    label=None,
    grid=Geometry.centred((SIDE,) * 2, (1, 1)),
)


class Told(nn.Module):
    """F is 1 where the first class is asked for; without a condition it is 0 and leaves what the prior expects."""

    def forward(self, seen, noise, condition):
        del noise
        silent = torch.zeros_like(seen[:, :1])
        return silent if condition.vector is None else silent + condition.vector[:, 0].reshape(-1, 1, 1, 1)


class Constant(nn.Module):
    """F is one number."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, seen, noise, condition):
        del noise, condition
        return torch.full((len(seen), 1, *seen.shape[2:]), self.value)


def model(classes=None, modes=0) -> DiffusionModel:
    made = DiffusionModel(
        LAYOUT, Identity(), Told(), Conditioner(classes), parametrisation=ParametrisationPlan(modes=modes)
    )
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, SIDE).expand(1, SIDE, SIDE)
    own = torch.randn(64, 1, 1, 1, generator=generator)
    x = 0.5 + 2 * ramp.transpose(1, 2) + own * ramp + 0.1 * torch.randn(64, 1, SIDE, SIDE, generator=generator)
    made.fit_latents(iter([x]), range(64))
    return made


def latents(made: DiffusionModel, count: int = 2, condition=None, **plan) -> torch.Tensor:
    return sample_latents(made, range(count), [Asked(condition or {})] * count, seed=3, plan=SamplingPlan(**plan))


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

    def looked_at(denoise, x, sigmas, condition, fresh, on_step=None):
        if len(x) == 50:
            drawn.append([x / sigmas[0], *(fresh(step) for step in (0, 1, 2, 0))])
        return x

    monkeypatch.setitem(sampling.SAMPLERS, "dpmpp_2m_sde", looked_at)
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


def test_a_worse_model_guides_away_from_itself() -> None:
    """Told F = 1 and F = 0: guidance 3 samples as F = 3; the worse one's latents may be scaled otherwise."""
    best, worse, far = model({"class": ["a", "b"]}), model(), model()
    far.network = Constant(3.0)
    plan = SamplingPlan(steps=8, guidance=3.0)
    asked = {"class": "a"}
    expected = sample_latents(far, [0, 1], [Asked()] * 2, seed=3, plan=SamplingPlan(steps=8))
    got = sample_latents(best, [0, 1], [Asked(asked)] * 2, seed=3, plan=plan, worse=worse)
    assert torch.allclose(got, expected, atol=1e-4)
    scaled = model()
    scaled.latent_scale.fill_(2.0)
    scaled.latent_mean.add_(0.7)
    x, sigma = torch.randn(2, 1, SIDE, SIDE), torch.full((2,), 0.8)
    moved = _translated(best, scaled, scaled.denoise)(x, sigma, Condition())
    z = x * best.latent_scale + best.latent_mean.reshape(1, 1, 1, 1)
    own = scaled.denoise((z - scaled.latent_mean.reshape(1, 1, 1, 1)) / 2, sigma / 2, Condition())
    assert torch.allclose(moved, own * 2 + scaled.latent_mean - best.latent_mean, atol=1e-5)


def test_a_guide_of_other_samples_is_refused() -> None:
    other = DiffusionModel(
        dataclasses.replace(LAYOUT, grid=Geometry.centred((SIDE,) * 2, (2, 2))),
        Identity(),
        Told(),
        Conditioner(),
    )
    with pytest.raises(MedsynthError, match="guide: a run of other samples"):
        sample_latents(model(), [0], [Asked()], seed=0, plan=SamplingPlan(steps=2), worse=other)


@pytest.mark.parametrize("name", ["edm", "flow"])
def test_clipping_keeps_every_estimate_in_the_images_range(name: str) -> None:
    made = model()
    made.parametrisation = ParametrisationPlan(name=name, modes=0)
    made.network = Constant(50.0)
    for clip in (True, False):
        inside = made.decode(latents(made, 2, steps=5, clip=clip)).abs().max() <= 1 + 1e-5
        assert inside == clip


@pytest.mark.parametrize(
    ("plan", "std"),
    [
        (ParametrisationPlan(name="flow"), 1.0),
        (ParametrisationPlan(name="flow", standardise=False), None),
        (ParametrisationPlan(name="v", schedule=VpSchedule(kind="cosine")), 1.0),
        (ParametrisationPlan(name="epsilon", schedule=VpSchedule(), standardise=False), None),
    ],
)
def test_latents_are_standardised_or_left(plan, std) -> None:
    made = DiffusionModel(LAYOUT, Identity(), Told(), Conditioner(), parametrisation=plan)
    x = 0.3 + 0.2 * torch.randn(64, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    made.fit_latents(iter([x]), range(64))
    z = made.encode(x)
    assert torch.allclose(made.decode(z), x, atol=1e-5)
    if std is None:
        assert torch.equal(z, x)
    else:
        assert (z.mean().item(), z.std().item()) == (pytest.approx(0, abs=1e-3), pytest.approx(std, rel=1e-3))


def test_a_model_without_a_schedule_walks_the_one_of_ddpm() -> None:
    assert torch.equal(SamplingPlan(grid="schedule", steps=7).levels(None), schedule_grid(VpSchedule(), 7))
    assert latents(model(), grid="schedule", name="ancestral").isfinite().all()


def test_more_steps_than_a_schedule_has_are_refused() -> None:
    scheduled = model()
    scheduled.parametrisation = ParametrisationPlan(name="v", modes=0, schedule=VpSchedule(steps=5))
    with pytest.raises(MedsynthError, match=r"sampler\.steps=6: the model's schedule has 5"):
        latents(scheduled, grid="schedule", steps=6)


class Convolved(nn.Module):
    """F is a convolution of what it sees; what goes in and comes out is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.full((1, 2, 1, 1), 0.3)
        self.kinds: set[tuple[torch.dtype, torch.dtype]] = set()

    def forward(self, seen, noise, condition):
        del noise, condition
        answer = nn.functional.conv2d(seen, self.weight[:, : seen.shape[1]])
        self.kinds.add((seen.dtype, answer.dtype))
        return answer


@pytest.mark.parametrize("clip", [False, True])
def test_the_network_alone_computes_in_bfloat16(clip) -> None:
    made = model(modes=1)
    made.network = Convolved()

    def drawn(precision: str) -> torch.Tensor:
        plan = SamplingPlan(steps=8, clip=clip, precision=precision)
        return sample_latents(made, range(4), [Asked()] * 4, seed=0, plan=plan)

    exact = drawn("fp32")
    assert made.network.kinds == {(torch.float32, torch.float32)}
    made.network.kinds.clear()
    rounded = drawn("bf16")
    assert made.network.kinds == {(torch.float32, torch.bfloat16)}
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).std() < 0.01 * exact.std()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "none"},
        {"grid": "none"},
        {"steps": 0},
        {"shift": 0.0},
        {"guidance_low": 2.0, "guidance_high": 1.0},
        {"precision": "fp16"},
        {"options": {"order": 3}},
        {"name": "unipc", "options": {"order": 2.5}},
        {"name": "unipc", "options": {"order": True}},
        {"name": "ancestral", "options": {"variance": "medium"}},
    ],
)
def test_plans_that_make_no_sense(wrong) -> None:
    with pytest.raises(MedsynthError, match="sampler"):
        SamplingPlan(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "none"},
        {"name": "v"},
        {"name": "flow", "schedule": VpSchedule()},
        {"name": "flow", "modes": 3},
        {"standardise": False},
    ],
)
def test_parametrisations_that_make_no_sense(wrong) -> None:
    with pytest.raises(MedsynthError, match="parametrisation"):
        ParametrisationPlan(**wrong)


def test_samples_of_no_numbers_are_an_error() -> None:
    made = model()
    made.network = Constant(float("nan"))
    with pytest.raises(MedsynthError, match="ended in no numbers"):
        latents(made, steps=2)


def test_guidance_without_classes_or_guide_is_refused() -> None:
    with pytest.raises(MedsynthError, match=r"set it to 1, or give guide=RUN"):
        latents(model(), steps=2, guidance=2.0)
