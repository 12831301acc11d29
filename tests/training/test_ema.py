"""The average of the weights against its closed form (Karras et al. 2024, appendix C)."""

import numpy as np
import pytest
import torch
from torch import nn

from medsynth.training.ema import power_decay, power_gamma, update_average


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
