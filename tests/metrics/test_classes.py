"""The classes equal the functions over batches and over two processes, and torchmetrics' own on the same features."""

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from medsynth.metrics.classes import (
    FeaturesOfTensors,
    FrechetDistance,
    KernelDistance,
    MaximumMeanDiscrepancy,
    PrecisionRecallDensityCoverage,
)
from medsynth.metrics.features import fit_features
from medsynth.metrics.frechet import frechet
from medsynth.metrics.kid import kid
from medsynth.metrics.mmd import unbiased_mmd2
from medsynth.metrics.prdc import prdc


def flat(images):
    return images.flatten(1).double()


@pytest.fixture(scope="module")
def sides():
    rng = np.random.default_rng(0)
    return rng.normal(size=(48, 1, 2, 3)) + 0.4, rng.normal(size=(48, 1, 2, 3))


def filled(metric, sides, cut=3):
    for images, real in zip(sides, (False, True), strict=True):
        for batch in np.split(images, cut):
            metric.update(torch.from_numpy(batch), real=real)
    return metric


CASES = [
    (MaximumMeanDiscrepancy(flat, bandwidth=2.0), lambda x, y: unbiased_mmd2(x, y, 2.0)),
    (KernelDistance(flat), lambda x, y: kid(x, y).value),
    (FrechetDistance(flat, seed=3), lambda x, y: frechet(x, y, seed=3).value),
]


@pytest.mark.parametrize(("metric", "function"), CASES, ids=lambda part: type(part).__name__)
def test_equals_the_function_over_batches(metric, function, sides):
    x, y = (side.reshape(48, -1) for side in sides)
    assert float(filled(metric, sides).compute()) == pytest.approx(function(x, y))
    metric.reset()
    metric.update(torch.from_numpy(sides[1]), real=True)
    with pytest.raises(ValueError, match="at least two"):
        metric.compute()


def test_all_four_of_prdc(sides):
    found = filled(PrecisionRecallDensityCoverage(flat, k=4), sides).compute()
    want = prdc(*(side.reshape(48, -1) for side in sides), k=4)
    assert {name: float(value) for name, value in found.items()} == {
        name: pytest.approx(getattr(want, name).value) for name in ("precision", "recall", "density", "coverage")
    }


def test_states_of_two_processes_join(sides):
    """What torchmetrics does between processes: the lists of all are concatenated."""
    whole = filled(KernelDistance(flat), sides)
    halves = [filled(KernelDistance(flat), [side[part] for side in sides]) for part in (slice(24), slice(24, 48))]
    halves[0].real += halves[1].real
    halves[0].synthetic += halves[1].synthetic
    assert float(halves[0].compute()) == pytest.approx(float(whole.compute()))
    assert {whole._reductions[name].__name__ for name in ("real", "synthetic")} == {"dim_zero_cat"}


class Flat(nn.Module):
    num_features = 6

    def forward(self, images):
        return images.flatten(1).double()


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_equals_torchmetrics_on_the_same_features(sides):
    as_bytes = [np.clip(np.round(25 * side + 128), 0, 255).astype(np.uint8) for side in sides]
    frechet_of_theirs = FrechetInceptionDistance(feature=Flat(), input_img_size=(1, 2, 3))
    kernel_of_theirs = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=48)
    want_frechet = filled(frechet_of_theirs, as_bytes).compute()
    want_kernel = filled(kernel_of_theirs, as_bytes).compute()[0]
    assert float(filled(FrechetDistance(flat, extrapolate=False), as_bytes).compute()) == pytest.approx(
        float(want_frechet), rel=1e-3
    )
    assert float(filled(KernelDistance(flat), as_bytes).compute()) == pytest.approx(float(want_kernel), rel=1e-3)


def test_an_extractor_takes_tensors_of_one_channel():
    images = np.random.default_rng(1).normal(size=(12, 1, 8, 8)).astype(np.float32)
    space = fit_features(images[:, 0])
    found = FeaturesOfTensors(space)(torch.from_numpy(images))
    np.testing.assert_allclose(found.numpy(), space(images[:, 0]))
    with pytest.raises(ValueError, match="one channel"):
        FeaturesOfTensors(space)(torch.zeros(2, 3, 8, 8))
