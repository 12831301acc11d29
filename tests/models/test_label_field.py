"""Signed distances: theory first, on shapes whose distance is known."""

import numpy as np
import pytest
from scipy import ndimage

from medsynth.models.label_field import label_channels


def test_a_plane_gives_its_distance():
    label = np.zeros((9, 4, 5), dtype=np.int16)
    label[5:] = 1
    outside, inside = label_channels(label, (0, 1), reach=3).numpy()
    expected = np.clip((np.arange(9) - 4.5) / 3, -1, 1).astype(np.float32)
    assert np.abs(inside - expected[:, None, None]).max() < 1e-6
    assert np.abs(outside + expected[:, None, None]).max() < 1e-6


@pytest.mark.parametrize("rank", [2, 3])
def test_a_ball_gives_its_distance_to_half_a_voxel(rank):
    index = np.stack(np.meshgrid(*[np.arange(-12, 13)] * rank, indexing="ij"))
    radius = np.sqrt((index**2).sum(0))
    (ball,) = label_channels((radius <= 8).astype(int), (1,), reach=20).numpy() * 20
    assert np.abs(ball - (8 - radius)).max() < 1.0
    assert np.corrcoef(ball.ravel(), -radius.ravel())[0, 1] > 0.99


def test_without_reach_it_is_one_hot():
    label = np.random.default_rng(0).integers(0, 3, (4, 5, 6))
    channels = label_channels(label, (0, 1, 2), reach=0).numpy()
    assert set(np.unique(channels)) == {-1.0, 1.0}
    assert np.array_equal(channels.argmax(0), label)


def test_a_label_that_is_nowhere_or_everywhere():
    assert (label_channels(np.zeros((3, 3), int), (0, 1), reach=2).numpy() == [[[1]], [[-1]]]).all()


def test_a_small_error_does_not_tear_a_smooth_label():
    """A model that is unsure of the edge blurs it, and errs by some of that: one-hot channels fall into specks."""
    index = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"))
    label = (np.sqrt((index**2).sum(0)) <= 8).astype(int)
    noise = np.random.default_rng(0).normal(size=(2, *label.shape))
    parts = {}
    for reach in (0, 3):
        exact = label_channels(label, (0, 1), reach).numpy()
        unsure = ndimage.gaussian_filter(exact, (0, 1, 1, 1))
        error = 3 * (unsure - exact).std() * noise
        parts[reach] = ndimage.label((unsure + error).argmax(0), np.ones((3, 3, 3)))[1]
    assert parts[3] == 1 < parts[0]
