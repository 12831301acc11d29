"""The objective: its value where theory knows it, its weights, its noise."""

import itertools
import math

import pytest
import torch
from torch import nn

from medsynth.data.dataset import Sample
from medsynth.diffusion.levels import Levels
from medsynth.errors import MedsynthError
from medsynth.geometry import Geometry
from medsynth.models.conditioner import Conditioner
from medsynth.models.layout import ImageChannel, LabelChannel, Layout
from medsynth.models.model import DiffusionModel
from medsynth.nets.autoencoders import Haar, Identity
from medsynth.training.module import DiffusionModule
from medsynth.training.objective import Objective

SIDE, SCALE = 8, (0.3, 0.6, 0.05)


class Linear(nn.Module):
    """F(x) = gain x: with gain 0 EDM's D is the best there is for white Gaussian data."""

    def __init__(self, gain=0.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.seen, self.levels = [], []

    def forward(self, x, noise, condition):
        x = x[:, : x.shape[1] // 2]
        self.seen.append((x.detach().clone(), None if condition.vector is None else condition.vector.clone()))
        self.levels.append(4 * noise / 25)
        return self.gain * x


@pytest.fixture
def logged(monkeypatch):
    values = {}
    monkeypatch.setattr(
        DiffusionModule,
        "log",
        lambda _, name, value, **__: values.update({name: float(torch.as_tensor(value).detach())}),
    )
    return values


def module(gain=0.0, autoencoder=None, classes=None, seed=0, batch=4, **objective):
    layout = Layout(
        images=(ImageChannel(name="ct", units="HU", low=0, high=1),),
        label=LabelChannel(name="label", values={0: "background", 1: "ball"}),
        grid=Geometry.centred((SIDE, SIDE), (1, 1)),
    )
    model = DiffusionModel(layout, autoencoder or Identity(), Linear(gain), Conditioner(classes), 1 if classes else 0)
    if autoencoder is None:
        for measured in (model.sigma_data, model.prior.coarse_std, model.prior.fine_std):
            measured.copy_(torch.tensor(SCALE))
    return DiffusionModule(model, Objective(**objective), seed=seed, batch_size=batch, steps=100)


def batch(numbers, vector=0):
    """White Gaussian data of the standard deviations SCALE, a function of the number."""
    x = torch.stack([torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(n)) for n in numbers])
    nothing = torch.zeros(len(numbers), 0)
    return Sample(
        x * torch.tensor(SCALE).reshape(3, 1, 1),
        torch.ones(len(numbers), vector),
        nothing[..., None],
        nothing[..., None, None],
        nothing.bool(),
        torch.tensor(numbers),
    )


def validated(module, batches):
    module.on_validation_epoch_start()
    for index, part in enumerate(batches):
        module.validation_step(part, index)
    module.on_validation_epoch_end()


@pytest.mark.parametrize(
    "objective",
    [{}, {"band_power": 0.0, "label_weight": 3.0}, {"levels": Levels(mean=1.0, std=0.5)}, {"weight": "edm"}],
)
def test_the_best_denoiser_of_white_data_has_loss_one(logged, objective):
    """E (D - y)^2 = s^2 sigma^2 / (s^2 + sigma^2) = c_out^2, the weight's inverse, at every noise level."""
    perfect = module(**objective)
    validated(perfect, [batch(range(800))])
    assert logged["validation/loss"] == pytest.approx(1, abs=0.02)
    perfect.training_step(batch(range(800)), 0)
    assert logged["train/loss"] == pytest.approx(1, abs=0.03)


def test_another_denoiser_costs_what_theory_says(logged):
    """F = g x adds c_out^2 g^2 c_in^2 E x^2 = c_out^2 g^2 to the error: loss 1 + g^2 (the two are uncorrelated)."""
    validated(module(gain=0.7), [batch(range(200))])
    assert logged["validation/loss"] == pytest.approx(1 + 0.7**2, abs=0.04)


def test_channel_weights():
    weights = module(band_power=0.5, label_weight=0.4).channel_weight()
    expected = torch.tensor([math.sqrt(0.5), 0.4, 0.4 * math.sqrt(1 / 12)])
    assert torch.allclose(weights, expected / expected.mean())
    assert module(band_power=0.0, label_weight=1.0).channel_weight().tolist() == [1, 1, 1]


@pytest.mark.parametrize("levels", [1, 2])
def test_every_band_of_the_label_has_the_labels_weight(levels):
    """A latent that comes from the image alone is told from one that comes from the label map by encoding each."""
    made = module(autoencoder=Haar(levels), band_power=1.0, label_weight=0.25)
    made.model.sigma_data.fill_(0.5)
    weights = made.channel_weight()
    assert weights.mean() == pytest.approx(1)
    image = torch.zeros(1, 3, SIDE, SIDE)
    image[:, 0] = torch.randn(SIDE, SIDE)
    from_image = made.model.autoencoder.encode(image).abs().sum((0, 2, 3)) > 0
    assert from_image.sum() == 4**levels
    assert torch.allclose(weights[~from_image] / weights[from_image][0], torch.tensor(0.25))
    assert torch.allclose(weights[from_image], weights[from_image][0])


def test_validation_meets_the_same_noise_every_time_and_in_any_batch(logged):
    made, seen = module(gain=0.3), []
    for parts in ([range(6)], [range(3), range(3, 6)], [range(6)]):
        torch.manual_seed(len(seen))
        validated(made, [batch(part) for part in parts])
        seen.append(logged["validation/loss"])
    assert seen[0] == seen[2]
    assert seen[1] == pytest.approx(seen[0], rel=1e-6)
    other = module(gain=0.3, seed=9)  # runs with other seeds are judged by the same noise
    validated(other, [batch(range(6))])
    assert logged["validation/loss"] == seen[0]
    first = made.average.network.seen
    assert torch.equal(first[0][0], first[8 + 4][0])
    assert not torch.equal(first[0][0], first[1][0])


def test_noise_levels_have_the_distribution_asked_for(logged):
    """Ln sigma is normal, for data of standard deviation 0.5; for other data moved by ln of twice its own."""
    own = math.log(2 * math.sqrt(sum(scale**2 for scale in SCALE) / 3))
    made = module(levels=Levels(mean=-1.0, std=1.2), batch=400)
    validated(made, [batch(range(100))])
    made.training_step(batch(range(400)), 0)
    for network in (made.average.network, made.model.network):
        levels = torch.cat(network.levels)
        assert len(levels) == 400
        assert levels.mean().item() == pytest.approx(own - 1.0, abs=0.03)
        assert levels.std().item() == pytest.approx(1.2, rel=0.04)


def test_a_training_step_is_a_function_of_seed_and_numbers(logged):
    losses = []
    for seed, numbers, noise in ((0, range(4), 1), (0, range(4), 2), (1, range(4), 1), (0, range(4, 8), 1)):
        torch.manual_seed(noise)
        made = module(gain=0.3, seed=seed)
        losses.append(made.training_step(batch(numbers), 0).item())
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_a_sample_meets_the_same_noise_in_any_share_of_the_batch(logged):
    """One process with the batch of 4 or two with 2 each: the network sees the same."""
    whole, half = module(gain=0.1), module(gain=0.1)
    whole.training_step(batch(range(4)), 0)
    half.training_step(batch([2, 3]), 0)
    assert torch.equal(whole.model.network.seen[0][0][2:], half.model.network.seen[0][0])


@pytest.mark.parametrize("part", [0.0, 0.25, 1.0])
def test_conditions_are_dropped_as_often_as_asked_and_augmentation_never(logged, part):
    made = module(classes={"class": ["a", "b"]}, drop_condition=part, batch=400)
    made.training_step(batch(range(400), vector=3), 0)
    vector = made.model.network.seen[0][1]
    assert (vector[:, 2] == 1).all()
    assert torch.equal(vector[:, 0], vector[:, 1])
    assert 1 - vector[:, 0].mean().item() == pytest.approx(part, abs=0.06)
    validated(made, [batch(range(4), vector=3)])
    assert (made.average.network.seen[0][1] == 1).all()


def test_the_learning_rate():
    made = module(warmup=10, learning_rate=2e-3)
    rates = [made._rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert max(rates) == rates[9] > 0.97
    assert rates[100] == pytest.approx(0.05)
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))


@pytest.mark.parametrize(
    "wrong",
    [{"learning_rate": 0}, {"snr_gamma": 0}, {"drop_condition": 1.1}, {"clip": 0}, {"ema": 0.3}, {"ema": 0},
     {"validation_levels": 0}, {"label_weight": 0}],
)  # fmt: skip
def test_wrong_objectives(wrong):
    with pytest.raises(MedsynthError, match="objective"):
        Objective(**wrong)
