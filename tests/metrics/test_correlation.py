"""On random fields, whose every copy is known."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from medsynth.errors import MedsynthError
from medsynth.metrics.alignment import align
from medsynth.metrics.copies import fisher
from medsynth.metrics.correlation import WHOLE, Searcher, SearchPlan
from medsynth.metrics.parts import PATCHES, SLICES, parts_of
from medsynth.metrics.planted import NOISE, PART, PARTIAL, Setting, kinds, plant
from medsynth.metrics.turns import flips, turned
from medsynth.metrics.whitening import WhiteGrid, coarse_shape


def fields(count: int, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Smooth periodic fields around a common one, (N, 1, *shape): scans of one organ."""
    rng = np.random.default_rng(seed)
    common = ndimage.gaussian_filter(rng.normal(size=shape), 3, mode="wrap") * 30
    own = [ndimage.gaussian_filter(rng.normal(size=shape), 1.0, mode="wrap") * 6 for _ in range(count)]
    return torch.from_numpy(np.stack([(common + each)[None] for each in own]).astype(np.float32))


def searcher(reals: torch.Tensor) -> Searcher:
    return Searcher(reals, (1.0,) * (reals.ndim - 2), SearchPlan(voxels=(1000, 2000)))


SHAPES = [(32, 32), (20, 24, 16)]


@pytest.mark.parametrize("shape", SHAPES)
def test_whitening_forgets_gain_and_offset_and_flattens_the_spectrum(shape) -> None:
    reals = fields(40, shape)
    grid = WhiteGrid(reals, int(np.prod(shape)), 0.02)
    white = grid(reals)
    assert torch.allclose(white, grid(reals * 3 - 7), atol=1e-5)
    assert torch.allclose(white.flatten(1).norm(dim=1), torch.ones(40))
    axes = tuple(range(2, reals.ndim))
    before, after = (torch.fft.fftn(x, dim=axes).abs().square().mean((0, 1)).flatten() for x in (reals, white))
    kept = after > after.max() * 1e-3
    assert (before[kept].max() / before[kept].min()) > 20 * (after[kept].max() / after[kept].min())


def test_whitening_lets_anatomy_that_all_share_count_little() -> None:
    reals = fields(40, (32, 32))
    grid = WhiteGrid(reals, 1024, 0.02)
    plain = np.corrcoef(reals.flatten(1).numpy())[np.triu_indices(40, 1)].mean()
    white = (grid(reals).flatten(1) @ grid(reals).flatten(1).T).numpy()[np.triu_indices(40, 1)].mean()
    assert plain > 0.4
    assert white < 0.6 * plain


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_of_copy_has_its_source_for_nearest(shape) -> None:
    reals = fields(24, shape)
    search, rng = searcher(reals), np.random.default_rng(3)
    setting = Setting((1.0,) * len(shape), float(reals.min()), float(reals.max()))
    made = [(kind, source) for kind in kinds(len(shape)) for source in (2, 5)]
    copies = [plant(kind, reals[source].numpy(), reals[20].numpy(), setting, rng) for kind, source in made]
    found = search(torch.from_numpy(np.stack(copies)), reals)
    for row, (kind, source) in enumerate(made):
        families = {PART: (PATCHES,), SLICES: (SLICES,)}.get(kind, (WHOLE, PATCHES))
        for family in families:
            scores = found[family][row].copy()
            scores[:, 20] = -1  # the image that it is blended with
            centred = fisher(scores) - np.median(fisher(scores), axis=1, keepdims=True)
            if kind in PARTIAL and family == PATCHES:  # a part is told by the rank over a few, not by the first place
                assert source in np.argsort(-centred.max(0))[:3], (kind, family)
            else:
                assert centred.max(0).argmax() == source, (kind, family)


@pytest.mark.parametrize("shape", SHAPES)
def test_shifts_and_flips_leave_the_whole_at_about_one(shape) -> None:
    reals = fields(24, shape)
    search = searcher(reals)
    flipped = torch.cat([turned(reals[:1], turn, (1.0,) * len(shape)) for turn in flips(len(shape))])
    assert search(flipped, reals[:1])[WHOLE].min() > 0.99
    assert search(torch.roll(reals[:1], 2, dims=2), reals[:1])[WHOLE].min() > 0.6
    assert search(reals[:6], reals[10:])[WHOLE].max() < 0.6


def test_scores_do_not_depend_on_what_else_is_asked() -> None:
    reals = fields(20, (20, 24, 16))
    search = searcher(reals)
    all_at_once, alone = search(reals[:5], reals), search(reals[3:4], reals)
    for family, scores in all_at_once.items():
        assert np.allclose(scores[3:4], alone[family], atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_are_inside_and_mirror_each_other(shape) -> None:
    grid = coarse_shape(shape, 1500)
    for family, of in parts_of(grid).items():
        for number, box in enumerate(of):
            assert all(0 <= s.start < s.stop <= side for s, side in zip(box.place, grid, strict=True))
            for flip, turn in enumerate(flips(len(grid))):
                mirror = of[box.mirrored[flip]]
                assert mirror.mirrored[flip] == number, family
                for axis, marked in enumerate(turn.flips):
                    there = grid[axis] - box.corner[axis] - box.sides[axis] if marked else box.corner[axis]
                    assert abs(mirror.corner[axis] - there) <= 1
    assert SLICES in parts_of((20, 24, 16))
    assert SLICES not in parts_of((32, 32))


def test_an_alignment_finds_the_turn_and_the_shift_again() -> None:
    reals = fields(12, (24, 20, 16))
    turn = flips(3)[5]
    other = turned(reals[:1], turn, (1.0,) * 3)[0]
    image = torch.roll(reals[0], (2, -1, 3), dims=(1, 2, 3))
    found = align(image, other * 2 + 5, flips(3), (1.0,) * 3, WhiteGrid(reals, 24 * 20 * 16, 0.05))
    assert (found.turn.flips, found.shift) == (turn.flips, (2, -1, 3))
    assert found.correlation > 0.999
    inside = np.isfinite(found.image)
    assert np.abs(found.image - image.numpy())[inside].max() < 1e-3
    assert inside.mean() == pytest.approx(22 / 24 * 19 / 20 * 13 / 16)


def test_a_plan_and_a_kind_that_are_none_are_refused() -> None:
    with pytest.raises(MedsynthError, match="degrees"):
        SearchPlan(degrees=(0.0,))
    with pytest.raises(MedsynthError, match="voxels"):
        SearchPlan(voxels=(10, 1000))
    image = fields(1, (8, 8))[0].numpy()
    with pytest.raises(MedsynthError, match="shift, flip"):
        plant("sideways", image, image, Setting((1.0, 1.0), 0.0, 1.0), np.random.default_rng(0))


def test_planted_noise_is_a_twentieth_of_the_range() -> None:
    image = np.zeros((1, 200, 200), np.float32)
    image[0, 0, :2] = -50, 50
    noisy = plant(NOISE, image, image, Setting((1.0, 1.0), -10.0, 10.0), np.random.default_rng(0))
    assert (noisy - image)[0, 1:].std() == pytest.approx(0.05 * 20, rel=0.02)
