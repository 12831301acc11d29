"""Our samplers against another library's schedulers: the same model, the same grid, the same noise."""

import functools

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.grids import flow_grid, schedule_grid
from medsynth.diffusion.samplers import ancestral, dpmpp_2m, dpmpp_2m_sde, euler, heun
from medsynth.diffusion.schedules import VpSchedule
from medsynth.diffusion.unipc import unipc
from tests.diffusion.known import mixture, silent_noise

SCHEDULE = VpSchedule()
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
BETAS = SCHEDULE.betas().numpy()
STEPS = 25
NOISE = torch.randn(4, 1, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def fresh(step):
    return torch.randn(NOISE.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(step + 1))


def ours(sampler, grid, scale=None, noise=silent_noise):
    scale = (1 + grid[0] ** 2).sqrt() if scale is None else scale
    return sampler(mixture, NOISE * scale, grid, Condition(), noise)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_euler_is_ddim(prediction):
    scheduler = DDIMScheduler(
        trained_betas=BETAS, timestep_spacing="linspace", clip_sample=False, prediction_type=prediction
    )
    # 28 levels 37 steps apart: theirs goes back by a constant distance.
    scheduler.set_timesteps(28)
    scheduler.num_inference_steps = 27
    assert torch.equal(SCHEDULE.sigmas()[scheduler.timesteps], schedule_grid(SCHEDULE, 28)[:-1])
    x = NOISE.clone()
    for t in scheduler.timesteps:
        sigma = SCHEDULE.sigmas()[t]
        alpha = (1 + sigma**2).rsqrt()
        clean = mixture(x / alpha, sigma.expand(len(x)), Condition())
        noise = (x / alpha - clean) / sigma
        told = noise if prediction == "epsilon" else alpha * noise - alpha * sigma * clean
        x = scheduler.step(told, t, x).prev_sample
    assert torch.allclose(ours(euler, schedule_grid(SCHEDULE, 28)), x, atol=1e-4)


@pytest.mark.parametrize(("variance", "name"), [("small", "fixed_small"), ("large", "fixed_large")])
def test_ancestral_is_ddpm(variance, name, monkeypatch):
    """The whole chain: with fewer steps theirs goes back by a constant distance."""
    drawn = iter(range(1000))
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: fresh(next(drawn)))
    scheduler = DDPMScheduler(trained_betas=BETAS, clip_sample=False, variance_type=name)
    scheduler.set_timesteps(1000)
    x = NOISE.clone()
    for t in scheduler.timesteps:
        sigma = SCHEDULE.sigmas()[t]
        noisy = x * (1 + sigma**2).sqrt()
        told = (noisy - mixture(noisy, sigma.expand(len(x)), Condition())) / sigma
        x = scheduler.step(told, t, x).prev_sample
    got = ours(functools.partial(ancestral, variance=variance), schedule_grid(SCHEDULE, 1000), noise=fresh)
    assert torch.allclose(got, x, atol=1e-4)


def test_euler_on_their_grid():
    scheduler = EulerDiscreteScheduler(trained_betas=BETAS, timestep_spacing="linspace", use_karras_sigmas=True)
    scheduler.set_timesteps(STEPS)
    grid = scheduler.sigmas.double()
    x = NOISE * grid[0]
    for step, t in enumerate(scheduler.timesteps):
        told = (x - mixture(x, grid[step].expand(len(x)), Condition())) / grid[step]
        x = scheduler.step(told, t, x).prev_sample
    assert torch.allclose(ours(euler, grid, grid[0]), x, atol=1e-4)


def test_heun():
    scheduler = HeunDiscreteScheduler(trained_betas=BETAS, timestep_spacing="linspace", use_karras_sigmas=True)
    scheduler.set_timesteps(STEPS)
    doubled = scheduler.sigmas.double()
    grid = torch.cat([doubled[:1], doubled[1:-1:2], doubled[-1:]])
    x = NOISE * grid[0]
    for t in scheduler.timesteps:
        sigma = scheduler.sigmas[scheduler.step_index or 0].double()
        x = scheduler.step((x - mixture(x, sigma.expand(len(x)), Condition())) / sigma, t, x).prev_sample
    assert torch.allclose(ours(heun, grid, grid[0]), x, atol=1e-4)


@pytest.mark.parametrize(
    ("sampler", "kind", "settings"),
    [
        (dpmpp_2m, DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
        (dpmpp_2m_sde, DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
        (functools.partial(unipc, order=1), UniPCMultistepScheduler, {"solver_order": 1, "lower_order_final": True}),
        (functools.partial(unipc, order=2), UniPCMultistepScheduler, {"solver_order": 2, "lower_order_final": True}),
        (functools.partial(unipc, order=3), UniPCMultistepScheduler, {"solver_order": 3, "lower_order_final": True}),
    ],
)
def test_multistep(sampler, kind, settings, monkeypatch):
    drawn = iter(range(STEPS))
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_dpmsolver_multistep.randn_tensor", lambda *_, **__: fresh(next(drawn))
    )
    scheduler = kind(
        trained_betas=BETAS,
        timestep_spacing="linspace",
        use_karras_sigmas=True,
        final_sigmas_type="zero",
        **{"solver_order": 2, "lower_order_final": False, **settings},
    )
    scheduler.set_timesteps(STEPS)
    grid = scheduler.sigmas.double()
    x = NOISE.clone()
    for step, t in enumerate(scheduler.timesteps):
        sigma = grid[step]
        noisy = x * (1 + sigma**2).sqrt()
        told = (noisy - mixture(noisy, sigma.expand(len(x)), Condition())) / sigma
        x = scheduler.step(told, t, x).prev_sample
    assert torch.allclose(ours(sampler, grid, noise=fresh), x, atol=1e-4)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_rectified_flow_from_pure_noise(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / STEPS, STEPS).tolist())
    x = NOISE.clone()
    for step, t in enumerate(scheduler.timesteps):
        at = scheduler.sigmas[step].double()
        sigma = (at / (1 - at)).clamp(max=1e6)
        clean = mixture(x * (1 + sigma), sigma.expand(len(x)), Condition())
        x = scheduler.step((x - clean) / at, t, x).prev_sample
    assert torch.allclose(ours(euler, flow_grid(STEPS, shift), 1e6), x, atol=1e-4)
