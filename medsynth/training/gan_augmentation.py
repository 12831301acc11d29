"""What is done to all that a discriminator sees, so that few real cases teach it longer: shifts and boxes cut out.

Done to real and made samples alike and seldom enough, it does not leak into what is made (Zhao et al. 2020;
Karras et al. 2020): a generator that makes it always is told from cases that have it sometimes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from medsynth.diffusion.noise import generator_for

SHIFT = 0.125
BOX = 0.5


def disturbed(x: Tensor, share: float, seed: int, numbers: Sequence[int], purpose: str) -> Tensor:
    """A part of the samples, each moved by whole voxels and with a box set to 0; differentiable.

    Args:
        x: (B, C, *spatial) in model units.
        share: part of the samples that are moved, and of those that lose a box.
        seed, numbers, purpose: fix what is done to each.

    Returns:
        (B, C, *spatial); borders are continued where a sample moved away from them.
    """
    if not share:
        return x
    rows = []
    for row, number in zip(x, numbers, strict=True):
        generator = generator_for("discriminator", seed, number, purpose)
        draws = torch.rand(2 + 2 * (x.ndim - 2), generator=generator, dtype=torch.float64).tolist()
        if draws[0] < share:
            sides = zip(draws[2::2], row.shape[1:], strict=True)
            row = moved(row, [round((2 * u - 1) * SHIFT * side) for u, side in sides])
        if draws[1] < share:
            row = row * (1 - _box(row, draws[3::2]))
        rows.append(row)
    return torch.stack(rows)


def moved(x: Tensor, offsets: Sequence[int]) -> Tensor:
    """(C, *spatial), moved by whole voxels along each axis; the border is continued."""
    for axis, offset in enumerate(offsets, 1):
        places = (torch.arange(x.shape[axis], device=x.device) - offset).clamp(0, x.shape[axis] - 1)
        x = x.index_select(axis, places)
    return x


def _box(x: Tensor, centres: Sequence[float]) -> Tensor:
    """(1, *spatial), 1 inside a box of half the sides round a centre that lies anywhere."""
    inside = x.new_ones(1, *x.shape[1:])
    for axis, centre in enumerate(centres, 1):
        side = x.shape[axis]
        places = torch.arange(side, device=x.device)
        near = ((places - int(centre * side)).abs() < max(side * BOX / 2, 1)).to(x.dtype)
        inside = inside * near.reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    return inside
