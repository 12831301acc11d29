"""Schedules, grids and the levels of training against their papers."""

import math

import pytest
import torch

from medsynth.diffusion.grids import PURE_NOISE, flow_grid, karras_grid, schedule_grid
from medsynth.diffusion.levels import Levels
from medsynth.diffusion.noise import stratified_uniform
from medsynth.diffusion.schedules import VpSchedule
from medsynth.errors import MedsynthError


def test_karras_grid_is_the_papers():
    grid = karras_grid(3, sigma_min=0.1, sigma_max=10, rho=2)
    middle = ((math.sqrt(10) + math.sqrt(0.1)) / 2) ** 2
    assert grid.tolist() == pytest.approx([10, middle, 0.1, 0])


def test_linear_schedule_is_ddpms():
    schedule, share = VpSchedule(), 1.0
    sigmas = schedule.sigmas()
    for step in range(1000):
        share *= 1 - (1e-4 + step / 999 * (0.02 - 1e-4))
        assert sigmas[step].item() == pytest.approx(math.sqrt((1 - share) / share), rel=1e-9)


def test_cosine_schedule_is_improved_ddpms():
    schedule = VpSchedule(kind="cosine")
    assert schedule.betas().max().item() == 0.999
    shares = torch.cumprod(1 - schedule.betas(), 0)

    def f(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    for step in (0, 100, 500, 990):
        assert shares[step].item() == pytest.approx(f(step + 1) / f(0), rel=1e-9)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_times_undo_sigmas(kind):
    schedule = VpSchedule(kind=kind)
    sigmas = schedule.sigmas()
    assert torch.allclose(schedule.times(sigmas), torch.arange(1000.0, dtype=torch.float64), atol=1e-9)
    between = (sigmas[3] * sigmas[4]).sqrt()
    assert schedule.times(between[None]).item() == pytest.approx(3.5)
    assert schedule.times(torch.tensor([0.0, 1e9])).tolist() == [0, 999]


def test_schedule_grid_walks_the_chain():
    schedule = VpSchedule(steps=10)
    sigmas = schedule.sigmas()
    assert torch.equal(schedule_grid(schedule, 10), torch.cat([sigmas.flip(0), torch.zeros(1)]))
    assert torch.equal(schedule_grid(schedule, 4), torch.cat([sigmas[[9, 6, 3, 0]], torch.zeros(1)]))
    for steps in (0, 11):
        with pytest.raises(ValueError, match="1 to 10"):
            schedule_grid(schedule, steps)


def test_flow_grid_is_even_in_t_and_shifted():
    assert flow_grid(4).tolist() == pytest.approx([PURE_NOISE, 3, 1, 1 / 3, 0])
    t = flow_grid(4, shift=3.0)[1:] / (1 + flow_grid(4, shift=3.0)[1:])
    assert t.tolist() == pytest.approx([3 * t / (1 + 2 * t) for t in (0.75, 0.5, 0.25, 0)])
    with pytest.raises(ValueError, match="shift above 0"):
        flow_grid(4, shift=0)


@pytest.mark.parametrize(
    "wrong", [{"kind": "none"}, {"steps": 1}, {"beta_start": 0.0}, {"beta_end": 1.0}, {"beta_start": 0.5}]
)
def test_schedules_that_are_none(wrong):
    with pytest.raises(MedsynthError, match="schedule"):
        VpSchedule(**wrong)


def drawn(levels, rms=0.5, schedule=None):
    uniform = torch.cat([stratified_uniform(0, step, range(8), 8) for step in range(2000)])
    return levels.sigma(uniform, torch.tensor(rms), schedule)


def test_log_normal_levels():
    logs = drawn(Levels(mean=-1.2, std=1.2)).log()
    assert (logs.mean().item(), logs.std().item()) == (pytest.approx(-1.2, abs=0.01), pytest.approx(1.2, rel=0.01))
    assert torch.allclose(drawn(Levels(), rms=1.0), 2 * drawn(Levels(), rms=0.5))
    halves = [stratified_uniform(0, 3, part, 8) for part in (range(4), range(4, 8))]
    assert torch.equal(torch.cat(halves), stratified_uniform(0, 3, range(8), 8))


def test_logit_normal_levels_are_shifted_in_t():
    sigma = drawn(Levels(kind="logit_normal", mean=0.3, std=0.8), rms=1.0)
    logit = torch.special.logit((sigma / (1 + sigma)).double())
    assert (logit.mean().item(), logit.std().item()) == (pytest.approx(0.3, abs=0.01), pytest.approx(0.8, rel=0.01))
    t = sigma / (1 + sigma)
    moved = drawn(Levels(kind="logit_normal", mean=0.3, std=0.8, shift=3.0), rms=1.0)
    assert torch.allclose(moved / (1 + moved), 3 * t / (1 + 2 * t))


def test_levels_of_a_schedule_are_each_as_often():
    schedule = VpSchedule(steps=4)
    levels = drawn(Levels(kind="schedule"), schedule=schedule)
    counts = [(levels == sigma).sum().item() for sigma in schedule.sigmas().float()]
    assert sum(counts) == len(levels)
    assert all(count == pytest.approx(len(levels) / 4, rel=0.02) for count in counts)
    with pytest.raises(MedsynthError, match="parametrisation=epsilon or v"):
        drawn(Levels(kind="schedule"))


@pytest.mark.parametrize("wrong", [{"kind": "none"}, {"std": 0.0}, {"shift": 0.0}])
def test_levels_that_are_none(wrong):
    with pytest.raises(MedsynthError, match=r"objective\.levels"):
        Levels(**wrong)
