"""The networks that are timed are those of the experiments: each is built and trains a step."""

import pytest
import torch

from benchmarks.speed import EXPERIMENTS, build, training_step


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_network_of_every_experiment_trains_a_step(name):
    _, values, levels, classes, settings, _ = EXPERIMENTS[name]
    rank = len(EXPERIMENTS[name][0])
    model = build((16,) * rank, values, levels, classes, settings)
    latent = torch.randn(1, *model.latent_shape)
    training_step(model, latent, torch.ones(1), torch.zeros(1, model.conditioner.width), "fp32")
    assert all(weight.grad is not None for weight in model.network.parameters())
