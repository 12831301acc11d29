"""Guidance by a dropped condition and by a worse model."""

import pytest
import torch

from medsynth.diffusion.denoiser import Condition
from medsynth.diffusion.guidance import autoguided, classifier_free

X = torch.zeros(1, 1, 1, 1)


def denoise(x, sigma, condition):
    return x + condition.vector.reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(("scale", "value"), [(0, 1.0), (0.5, 2.0), (1, 3.0), (2, 5.0)])
def test_classifier_free_guidance_is_linear_between_the_two(scale, value):
    null, asked = Condition(vector=torch.tensor([[1.0]])), Condition(vector=torch.tensor([[3.0]]))
    assert classifier_free(denoise, null, scale)(X, torch.ones(1), asked).item() == value


def test_autoguidance_goes_away_from_the_worse_model():
    asked = Condition(vector=torch.tensor([[3.0]]))
    guided = autoguided(denoise, lambda x, sigma, condition: x + 2 * condition.vector.reshape(-1, 1, 1, 1), 2.0)
    assert guided(X, torch.ones(1), asked).item() == 0.0  # 6 + 2 (3 - 6)


def test_guidance_acts_inside_its_interval_and_costs_nothing_outside():
    null, asked, calls = Condition(vector=torch.tensor([[1.0]])), Condition(vector=torch.tensor([[3.0]])), []

    def counting(x, sigma, condition):
        calls.append(condition)
        return denoise(x, sigma, condition)

    guided = classifier_free(counting, null, 2.0, low=0.5, high=2.0)
    values = {level: guided(X, torch.tensor([level]), asked).item() for level in (0.5, 0.6, 2.0, 2.1)}
    assert values == {0.5: 3.0, 0.6: 5.0, 2.0: 5.0, 2.1: 3.0}
    assert len(calls) == 6
