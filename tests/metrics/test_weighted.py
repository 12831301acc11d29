"""Weighted scores against plain ones on the images written out as often as they count."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc

from medsynth.metrics.weighted import weighted_auc, weighted_mean


def test_auc_is_torchmetrics_on_repeated_images():
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=60), 1)  # with ties
    positive = rng.random(60) < 0.3
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    found = weighted_auc(scores, positive, weights)
    for row, value in zip(weights.astype(int), found, strict=True):
        repeated = torch.from_numpy(np.repeat(scores, row)).sigmoid(), torch.from_numpy(np.repeat(positive, row)).int()
        assert value == pytest.approx(float(binary_auroc(*repeated)), abs=1e-5)


def test_auc_of_what_is_known():
    positive = np.array([False, False, True, True])
    ones = np.ones((1, 4))
    assert weighted_auc(np.array([0.0, 1, 2, 3]), positive, ones)[0] == 1
    assert weighted_auc(np.array([3.0, 2, 1, 0]), positive, ones)[0] == 0
    assert weighted_auc(np.zeros(4), positive, ones)[0] == 0.5
    assert np.isnan(weighted_auc(np.zeros(4), positive, np.array([[1.0, 1, 0, 0]]))[0])


def test_mean_leaves_out_what_is_missing():
    values = np.array([0.0, 1.0, np.nan])
    assert weighted_mean(values, np.array([[1.0, 3, 5], [1, 1, 0]])).tolist() == [0.75, 0.5]
    assert np.isnan(weighted_mean(values, np.array([[0.0, 0, 1]]))[0])
