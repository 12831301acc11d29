"""The average of the weights against its closed form (Karras et al. 2024, appendix C)."""

import numpy as np
import pytest
import torch
from torch import nn

from medsynth.errors import MedsynthError, RunError
from medsynth.models.averages import (
    load_average,
    load_snapshot,
    power_decay,
    power_gamma,
    profile_products,
    save_snapshot,
    snapshot_weights,
    update_average,
)
from medsynth.models.sealed import write_sealed


@pytest.mark.parametrize(("width", "gamma"), [(0.05, 16.97), (0.1, 6.94)])
def test_the_papers_exponents(width, gamma):
    assert power_gamma(width) == pytest.approx(gamma, abs=0.005)


@pytest.mark.parametrize("width", [0.01, 0.05, 0.1, 0.2, 0.27])
def test_the_exponent_gives_the_width(width):
    """The standard deviation of the profile (gamma + 1) t^gamma on (0, 1), by quadrature."""
    gamma = power_gamma(width)
    t = np.linspace(0, 1, 200_001)
    weight = (gamma + 1) * t**gamma
    mean = np.trapezoid(weight * t, t)
    assert np.sqrt(np.trapezoid(weight * (t - mean) ** 2, t)) == pytest.approx(width, rel=1e-4)


@pytest.mark.parametrize("width", [0.05, 0.1])
@pytest.mark.parametrize("power", [0, 1, 2.5])
def test_the_average_of_a_power_is_its_integral(width, power):
    """theta(t) = t^k averaged with weight (gamma + 1) t^gamma / T^(gamma + 1) is (gamma + 1) / (gamma + 1 + k) T^k."""
    gamma, steps = power_gamma(width), 4000
    average = 123.0  # forgotten at the first step
    for step in range(1, steps + 1):
        decay = power_decay(step, gamma)
        average = decay * average + (1 - decay) * float(step) ** power
    assert average == pytest.approx((gamma + 1) / (gamma + 1 + power) * steps**power, rel=2e-3)


def test_parameters_are_averaged_and_buffers_copied():
    average, model = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.constant_(average.weight, 1.0)
    nn.init.constant_(model.weight, 3.0)
    model.running_mean.fill_(7)
    update_average(average, model, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean.tolist() == [7, 7]
    update_average(average, model, power_decay(1, 6.94))
    assert torch.equal(average.weight, model.weight)


@pytest.mark.parametrize("width", [0, -0.1, 0.28, 1])
def test_widths_that_no_power_has(width):
    with pytest.raises(ValueError, match="between 0 and"):
        power_gamma(width)


def profile(step, gamma, t):
    return np.where(t <= step, (gamma + 1) * t**gamma / step ** (gamma + 1), 0.0)


def test_products_of_profiles_are_their_integrals():
    pairs = [(400.0, power_gamma(0.1)), (1000.0, power_gamma(0.1)), (700.0, power_gamma(0.05))]
    t = np.linspace(0, 1000, 400_001)
    curves = [profile(step, gamma, t) for step, gamma in pairs]
    integrals = np.array([[np.trapezoid(a * b, t) for b in curves] for a in curves])
    own = np.sqrt(np.diag(integrals))
    assert np.allclose(profile_products(pairs, pairs), integrals / np.outer(own, own), atol=2e-3)


@pytest.mark.parametrize("width", [0.05, 0.1])
def test_a_width_that_was_kept_is_its_last_snapshot(width):
    snapshots = [(step, power_gamma(own)) for step in (250, 500, 750, 1000) for own in (0.1, 0.05)]
    weights = snapshot_weights(snapshots, 1000, width)
    kept = snapshots.index((1000, power_gamma(width)))
    assert weights[kept] == pytest.approx(1, abs=1e-6)
    assert np.abs(np.delete(weights, kept)).max() < 1e-6


@pytest.mark.parametrize("width", [0.06, 0.08, 0.15, 0.2])
def test_averages_of_other_widths_are_those_that_would_have_been_kept(width, tmp_path):
    """Weights on a random walk, averaged while it goes and from 16 snapshots afterwards."""
    generator = torch.Generator().manual_seed(0)
    steps, widths = 1600, (0.1, 0.05)
    model, wanted = nn.Linear(50, 1, bias=False), nn.Linear(50, 1, bias=False)
    kept = {own: nn.Linear(50, 1, bias=False) for own in widths}
    nn.init.zeros_(model.weight)
    for step in range(1, steps + 1):
        with torch.no_grad():
            model.weight += torch.randn(1, 50, generator=generator)
        for own, average in (*kept.items(), (width, wanted)):
            update_average(average, model, power_decay(step, power_gamma(own)))
        if step % 100 == 0:
            save_snapshot(tmp_path, step, kept)
    made = load_average(tmp_path, width)["weight"]
    apart = (made - wanted.weight).norm()
    # what there would be without: the nearer of the two that were kept
    nearest = min((average.weight - wanted.weight).norm() for average in kept.values())
    assert apart < 0.1 * nearest


def test_a_snapshot_is_the_average_as_it_was_then(tmp_path):
    networks = [{own: nn.Linear(3, 1) for own in (0.1, 0.05)} for _ in range(2)]
    for step, kept in zip((100, 200), networks, strict=True):
        save_snapshot(tmp_path, step, kept)
    for step, kept in zip((100, 200), networks, strict=True):
        assert torch.equal(load_snapshot(tmp_path, step)["weight"], kept[0.1].weight)
    for step in (0, 150, -100):
        with pytest.raises(MedsynthError, match="snapshots of the steps 100, 200; name one of these"):
            load_snapshot(tmp_path, step)
    with pytest.raises(MedsynthError, match=r"train with trainer\.snapshot_every"):
        load_snapshot(tmp_path / "none", 100)


def test_runs_without_snapshots_and_altered_ones(tmp_path):
    with pytest.raises(MedsynthError, match=r"train with trainer\.snapshot_every"):
        load_average(tmp_path, 0.1)
    with pytest.raises(MedsynthError, match=r"between 0 and 0\.28"):
        load_average(tmp_path, 0.3)
    path = tmp_path / "weights" / "averages" / "step-00000001.ckpt"
    for altered in (
        {"widths": [7.0], "networks": [{}]},
        {"widths": [0.1]},
        {"widths": [0.1], "networks": []},
        {"widths": [], "networks": []},
    ):
        write_sealed(path, {"step": 1, **altered})
        with pytest.raises(RunError, match="was altered"):
            load_average(tmp_path, 0.1)
        with pytest.raises(RunError, match="was altered"):
            load_snapshot(tmp_path, 1)
