"""Images and label maps are changed alike, by chance that the generator fixes, and turns are turns in mm."""

import numpy as np
import pytest
import torch

from medsynth.errors import MedsynthError
from medsynth.evidence.augmenting import Augmenter

STILL = {"shift": 0.0, "scale": 0.0, "gain": 0.0, "offset": 0.0}


def ball(*shape, spacing=None):
    """A ball off the middle, (1, 1, *shape), and the same as a label map."""
    spacing = spacing or (1,) * len(shape)
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    grid[0] -= 5
    inside = torch.from_numpy((grid**2).sum(0) < 5.0**2)[None, None]
    return inside.float(), inside.long()


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(32, 24), (32, 24, 28)])
def test_maps_move_with_their_images(shape):
    x, label = ball(*shape)
    more = {"shift": 0.1, "scale": 0.1, "rotate": 20, "flip": (0, 1), "gain": 0.0, "offset": 0.0}
    moved, found = Augmenter(**more)(x, chance(), label)
    overlap = 2 * ((moved > 0.5) & (found > 0.5)).sum() / ((moved > 0.5).sum() + (found > 0.5).sum())
    still = 2 * ((moved > 0.5) & (x > 0.5)).sum() / ((moved > 0.5).sum() + (x > 0.5).sum())
    assert overlap > 0.93
    assert still < 0.85


def test_a_turn_is_one_in_mm():
    """A ball stays a ball, of the same volume, where voxels are no cubes; taken for cubes it does not."""
    spacing = (1.0, 3.0)
    x, _ = ball(48, 16, spacing=spacing)

    def widths(augmenter):
        ratios = []
        for seed in range(20):
            moved = augmenter(x, chance(seed))[0][0, 0].numpy()
            at = np.stack(np.nonzero(moved > 0.5)) * np.array(spacing)[:, None]
            ratios.append(np.sqrt(np.linalg.eigvalsh(np.cov(at))[::-1][0] / np.linalg.eigvalsh(np.cov(at))[0]))
        return np.mean(ratios)

    assert widths(Augmenter(rotate=90, spacing=spacing, **STILL)) < 1.35
    assert widths(Augmenter(rotate=90, **STILL)) > 1.7


def test_nothing_is_changed_by_nothing_and_chance_is_the_generators():
    x, label = ball(16, 16)
    same, map_ = Augmenter(**STILL)(x, chance(), label)
    torch.testing.assert_close(same, x)
    assert torch.equal(map_.long(), label)
    noisy = Augmenter(noise=0.1)
    assert torch.equal(noisy(x, chance(1))[0], noisy(x, chance(1))[0])
    assert not torch.equal(noisy(x, chance(1))[0], noisy(x, chance(2))[0])


def test_impossible_changes_are_refused():
    with pytest.raises(MedsynthError, match="scale is in 0"):
        Augmenter(scale=1.0)
