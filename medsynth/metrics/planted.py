"""Copies made on purpose: training images changed in ways that a copy may come with, which a search has to find."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from medsynth.errors import MedsynthError
from medsynth.metrics.turns import small_rotations, turned

Image = NDArray[np.floating]
SHIFT, FLIP, ROTATION, GAIN, NOISE = "shift", "flip", "rotation", "gain", "noise"
MIXED, PATCH = "mixed", "patch"
PART, SLICES = "part", "slices"
PARTIAL = (PART, SLICES)
"""Kinds of which the rest is another image."""


class Setting(NamedTuple):
    """What the planting needs to know: voxel size along each axis, and the robust range of the reals."""

    spacing: tuple[float, ...]
    low: float
    high: float


def kinds(rank: int) -> tuple[str, ...]:
    """Names of all kinds of copies of images of that rank."""
    return (SHIFT, FLIP, ROTATION, GAIN, NOISE, MIXED, PATCH, PART, *((SLICES,) if rank > 2 else ()))


def plant(kind: str, source: Image, host: Image, setting: Setting, rng: np.random.Generator) -> NDArray[np.float32]:
    """A copy of `source` (C, *spatial); where only a part is one, the rest is `host` (C, *spatial), a held-out image.

    Raises:
        MedsynthError: a kind that is not known.
    """
    image = source.astype(np.float32)
    other = host.astype(np.float32)
    if kind == PATCH:
        return _blended(other, image, thin=False, rng=rng)
    if kind in PARTIAL:
        return _blended(image, other, thin=kind == SLICES, rng=rng)
    changes = {SHIFT: _shifted, FLIP: _flipped, ROTATION: _rotated, GAIN: _louder, NOISE: _noisy, MIXED: _mixed}
    if kind not in changes:
        raise MedsynthError(f"planted copies are of the kinds {', '.join(kinds(image.ndim - 1))}")
    change: Callable[..., Image] = changes[kind]
    return np.clip(change(image, setting, rng), image.min(), image.max()).astype(np.float32)


def describe(kind: str) -> str:
    """What was done to the training image."""
    return _DESCRIPTIONS[kind]


_DESCRIPTIONS = {
    SHIFT: "shifted by 2 voxels along every axis",
    FLIP: "flipped along one axis",
    ROTATION: "rotated by 5 degrees in a plane of two axes",
    GAIN: "gain .7 to 1.4 and an offset of up to a tenth of the range, clipped",
    NOISE: "white noise of 5% of the range",
    MIXED: "shifted by up to 2 voxels, rotated by up to 5 degrees, another gain, noise",
    PATCH: "a patch of a held-out image, half a side long, at any place, blended into the copy at the same place",
    PART: "a patch half a side long at any place, blended into a held-out image at the same place",
    SLICES: "an eighth of the slices along one axis, blended into a held-out image at the same place",
}


def _shifted(image: Image, setting: Setting, rng: np.random.Generator, most: int = 2, least: int = 2) -> Image:
    del setting
    steps = rng.integers(least, most + 1, image.ndim - 1) * rng.choice((-1, 1), image.ndim - 1)
    moved: Image = ndimage.shift(image, (0, *steps), order=0, mode="nearest")
    return moved


def _flipped(image: Image, setting: Setting, rng: np.random.Generator) -> Image:
    del setting
    return np.flip(image, 1 + int(rng.integers(image.ndim - 1)))


def _rotated(image: Image, setting: Setting, rng: np.random.Generator, least: float = 5.0) -> Image:
    degrees = float(rng.uniform(least, 5.0) * rng.choice((-1, 1)))
    planes = small_rotations(image.ndim - 1, (degrees,))
    turn = planes[int(rng.integers(len(planes)))]
    rotated: Image = turned(torch.from_numpy(np.ascontiguousarray(image))[None], turn, setting.spacing)[0].numpy()
    return rotated


def _louder(image: Image, setting: Setting, rng: np.random.Generator) -> Image:
    gain, offset = np.exp(rng.uniform(np.log(0.7), np.log(1.4))), rng.uniform(-0.1, 0.1)
    louder: Image = image * gain + offset * (setting.high - setting.low)
    return louder


def _noisy(image: Image, setting: Setting, rng: np.random.Generator) -> Image:
    return image + rng.normal(0, 0.05 * (setting.high - setting.low), image.shape)


def _mixed(image: Image, setting: Setting, rng: np.random.Generator) -> Image:
    for change in (_louder, _noisy):
        image = change(image, setting, rng)
    turned_too = _rotated(image.astype(np.float32), setting, rng, least=0.0)
    return _shifted(turned_too, setting, rng, least=0)


def _blended(source: Image, host: Image, *, thin: bool, rng: np.random.Generator) -> NDArray[np.float32]:
    """A box of `source` in `host`, its edge soft over a voxel, brought to the host's mean and spread there."""
    shape = source.shape[1:]
    axis = int(rng.integers(len(shape)))
    sides = [max(2, s // 8) if a == axis else s for a, s in enumerate(shape)] if thin else [s // 2 for s in shape]
    corner = [int(rng.integers(s - side + 1)) for s, side in zip(shape, sides, strict=True)]
    if thin:  # away from the ends, where there may be nothing
        corner[axis] = int(rng.integers(shape[axis] // 4, 3 * shape[axis] // 4 - sides[axis] + 1))
    box = tuple(slice(at, at + side) for at, side in zip(corner, sides, strict=True))
    weight = np.zeros(shape, dtype=np.float32)
    weight[box] = 1
    if not thin:
        weight = ndimage.gaussian_filter(weight, 0.7)
    here, there = (image[(slice(None), *box)] for image in (source, host))
    fitted = (source - here.mean()) / max(float(here.std()), 1e-6) * float(there.std()) + there.mean()
    blended: NDArray[np.float32] = (host * (1 - weight) + fitted * weight).astype(np.float32)
    return blended
