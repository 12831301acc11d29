"""A pair of images laid over each other, as the best correlation has them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medsynth.metrics.turns import Turn, turned
from medsynth.metrics.whitening import WhiteGrid


class Aligned(NamedTuple):
    """`image` (C, *spatial): the other one, turned and shifted, in the first one's gain and offset; NaN outside.

    `correlation`: plain, over what both show.
    """

    image: NDArray[np.float32]
    turn: Turn
    shift: tuple[int, ...]
    correlation: float


def align(
    image: Tensor, other: Tensor, turns: Iterable[Turn], spacing: Sequence[float], grid: WhiteGrid, most: float = 0.25
) -> Aligned:
    """Turn and shift `other` so that it lies on `image`.

    Args:
        image: (C, *spatial).
        other: (C, *spatial).
        turns: that are tried, each with all shifts of at most `most` of a side.
        spacing: voxel size along each axis.
        grid: of all voxels: how both are whitened before they are compared.
        most: as a part of a side.
    """
    if grid.shape != tuple(image.shape[1:]):
        raise ValueError("the grid of an alignment is that of the images")
    own = torch.fft.rfftn(grid(image[None])[0], dim=grid.dims)
    allowed = torch.zeros(grid.shape, dtype=torch.bool)
    reach = [torch.arange(-int(most * side), int(most * side) + 1) for side in grid.shape]
    allowed[tuple(torch.meshgrid(*reach, indexing="ij"))] = True
    best: tuple[float, Turn, tuple[int, ...]] | None = None
    for turn in turns:
        white = torch.fft.rfftn(grid(turned(other[None], turn, spacing))[0], dim=grid.dims)
        correlation = torch.fft.irfftn((own * white.conj()).sum(0), s=grid.shape, dim=grid.dims)
        place = int(correlation.masked_fill(~allowed, -2).argmax())
        value = float(correlation.flatten()[place])
        if best is None or value > best[0]:
            at = np.unravel_index(place, grid.shape)
            shift = tuple(int(a) if a <= side // 2 else int(a) - side for a, side in zip(at, grid.shape, strict=True))
            best = value, turn, shift
    assert best is not None
    return _laid(image, other, best[1], best[2], spacing)


def _laid(image: Tensor, other: Tensor, turn: Turn, shift: tuple[int, ...], spacing: Sequence[float]) -> Aligned:
    moved = turned(other[None].float(), turn, spacing)[0].numpy()
    result = np.full(moved.shape, np.nan, dtype=np.float32)
    to, out = [slice(None)], [slice(None)]
    for step, side in zip(shift, moved.shape[1:], strict=True):
        to.append(slice(max(0, step), side + min(0, step)))
        out.append(slice(max(0, -step), side + min(0, -step)))
    result[tuple(to)] = moved[tuple(out)]
    own, seen = image.numpy(), np.isfinite(result)
    correlations = []
    for channel, part, inside in zip(own, result, seen, strict=True):
        a, b = channel[inside], part[inside]
        spread = float(a.std() * b.std())
        correlation = float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0
        gain = correlation * float(a.std()) / max(float(b.std()), 1e-12)
        part[inside] = (b - b.mean()) * gain + a.mean()
        correlations.append(correlation)
    return Aligned(result, turn, shift, float(np.mean(correlations)))
