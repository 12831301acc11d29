"""Every parametrisation is the same Denoiser said in other words."""

import math

import pytest
import torch

from medsynth.diffusion.denoiser import Condition, to_rank
from medsynth.diffusion.gaussian import GaussianPrior
from medsynth.diffusion.loss import denoising_loss, loss_weight
from medsynth.diffusion.parametrisations import Edm, Epsilon, Flow, Velocity, denoised
from medsynth.diffusion.schedules import VpSchedule
from tests.diffusion.known import mixture

SCHEDULE = VpSchedule()


def edm(channels=1, shape=(4, 4), std=1.0):
    prior = GaussianPrior(channels, shape)
    prior.coarse_std.fill_(std)
    prior.fine_std.fill_(std)
    return Edm(prior.double(), torch.full((channels,), std, dtype=torch.float64))


FORMS = {"edm": edm(), "epsilon": Epsilon(SCHEDULE), "v": Velocity(VpSchedule(kind="cosine")), "flow": Flow()}


def answer(name, x, sigma, clean):
    """What each network is trained to say, in its paper's own terms."""
    level = to_rank(sigma, x.ndim)
    noise = (x - clean) / level
    alpha = 1 / (1 + level**2).sqrt()
    t = level / (1 + level)
    return {
        "edm": (clean - x / (1 + level**2)) * (1 + level**2).sqrt() / level,
        "epsilon": noise,
        "v": alpha * noise - alpha * level * clean,
        "flow": ((1 - t) * x - clean) / t,  # n - y = (x_t - y) / t with x_t = (1 - t) x
    }[name]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("spatial", [(4, 4), (4, 4, 4)])
def test_the_same_function_gives_the_same_denoiser(name, spatial):
    form = edm(shape=spatial) if name == "edm" else FORMS[name]
    x = torch.randn(8, 1, *spatial, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for level in (0.01, 0.3, 1.0, 20.0, 150.0):
        sigma = torch.full((8,), level, dtype=torch.float64)
        noisy = x * math.sqrt(1 + level**2)
        expected = mixture(noisy, sigma, Condition())
        got = denoised(lambda *_: answer(name, noisy, sigma, expected), noisy, sigma, Condition(), form)  # noqa: B023
        assert (got - expected).abs().max() < 1e-8


@pytest.mark.parametrize("name", FORMS)
def test_input_and_target_have_unit_variance(name):
    """For data of variance 1; a flow's target has more, as published: the variance of n - y."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(20000, 1, 1, 1, dtype=torch.float64, generator=generator) for _ in range(2))
    form = edm(shape=(1, 1)) if name == "edm" else FORMS[name]
    for level in (0.05, 1.0, 30.0):
        sigma, seen = torch.full((20000,), level, dtype=torch.float64), []
        noisy = clean + level * noise

        def network(given, told, condition):
            seen.append((given, told))  # noqa: B023
            return torch.zeros_like(clean)

        denoised(network, noisy, sigma, Condition(), form)
        frame = form.frame(noisy, sigma)
        target = (clean - frame.base) / frame.out
        assert seen[0][0].isfinite().all()
        if name == "flow":
            t = level / (1 + level)
            assert seen[0][0].std().item() == pytest.approx(math.hypot(1 - t, t), rel=0.03)
            assert torch.allclose(target, noise - clean)
        else:
            assert seen[0][0][:, :1].std().item() == pytest.approx(1, rel=0.03)
            assert target.std().item() == pytest.approx(1, rel=0.03)


def test_a_network_is_told_the_step_of_its_schedule():
    steps = torch.tensor([0, 1, 17, 500, 999])
    for form in (FORMS["epsilon"], FORMS["v"]):
        sigma = form.schedule.sigmas()[steps]
        assert torch.allclose(form.frame(torch.ones(5, 1), sigma).noise, steps.double(), atol=1e-9)
    flow = FORMS["flow"].frame(torch.ones(2, 1), torch.tensor([1.0, 1e6]))
    assert flow.noise.tolist() == pytest.approx([500.0, 999.999])


def test_edm_measures_every_channel():
    generator = torch.Generator().manual_seed(0)
    data_std = torch.tensor([0.1, 2.0])
    clean = torch.randn(20000, 2, 1, 1, generator=generator) * data_std.reshape(1, 2, 1, 1)
    noise = torch.randn(20000, 2, 1, 1, generator=generator)
    prior = GaussianPrior(2, (1, 1))
    prior.fit(iter([clean]), range(20000))
    for level in (0.05, 1.0, 30.0):
        sigma, noisy = torch.full((20000,), level), clean + level * noise
        frame = Edm(prior, data_std).frame(noisy, sigma)
        assert torch.allclose(frame.seen[:, :2].std((0, 2, 3)), torch.ones(2), atol=0.03)
        assert torch.allclose(frame.seen[:, 2:] * data_std.reshape(2, 1, 1), frame.base)
        assert torch.allclose(frame.noise, 25 * sigma.log() / 4)
        assert torch.allclose(((clean - frame.base) / frame.out).std((0, 2, 3)), torch.ones(2), atol=0.03)


@pytest.mark.parametrize("name", FORMS)
def test_denoise_is_float32_around_a_bfloat16_network(name):
    def network(seen, noise, condition):
        assert seen.dtype == torch.float32
        return seen[:, :1].to(torch.bfloat16)

    form = Edm(GaussianPrior(1, (4, 4)), torch.ones(1)) if name == "edm" else FORMS[name]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = denoised(network, torch.randn(2, 1, 4, 4), torch.tensor([1.0, 2.0]), Condition(), form)
    assert result.dtype == torch.float32


@pytest.mark.parametrize("name", ["epsilon", "v", "flow"])
def test_the_uniform_weight_is_the_published_loss(name):
    """Mean square error of the network's own answer: noise, v or n - y."""
    generator = torch.Generator().manual_seed(0)
    clean, noise, guess = (torch.randn(6, 1, 4, 4, dtype=torch.float64, generator=generator) for _ in range(3))
    sigma = torch.tensor([0.02, 0.1, 0.5, 1.0, 7.0, 100.0], dtype=torch.float64)
    form, level = FORMS[name], to_rank(sigma, 4)
    wanted = answer(name, clean + level * noise, sigma, clean)

    def denoise(x, sigma, condition):
        return denoised(lambda *_: guess, x, sigma, condition, form)

    loss = denoising_loss(denoise, clean, noise, sigma, Condition(), loss_weight("uniform", sigma, 4, form))
    assert torch.allclose(loss, (guess - wanted).square().flatten(1).mean(1))


def test_weights_of_the_papers():
    sigma, form = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64), edm(std=0.5)

    def weight(kind, form=form):
        return loss_weight(kind, sigma, 2, form, gamma=5).flatten().tolist()

    assert weight("edm") == pytest.approx([(s**2 + 0.25) / (0.5 * s) ** 2 for s in sigma.tolist()])
    assert weight("uniform") == pytest.approx(weight("edm"))
    assert weight("min_snr") == pytest.approx([min(0.25 / s**2, 5) / 0.25 for s in sigma.tolist()])
    assert weight("min_snr", Flow()) == pytest.approx([5, 1, 0.01])
    assert weight("edm", Flow()) == pytest.approx([101, 2, 1.01])
    with pytest.raises(ValueError, match="uniform, edm, min_snr"):
        weight("none")
