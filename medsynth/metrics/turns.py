"""Flips, right angles and small rotations of images: the ways in which a copy may lie."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Turn(NamedTuple):
    """Axes in a new order, then flips of the axes marked, then a rotation by `degrees` in the plane of two axes."""

    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    plane: tuple[int, int] = (0, 1)
    degrees: float = 0.0


def flips(rank: int) -> list[Turn]:
    """Every combination of flips, the identity first."""
    axes = tuple(range(rank))
    return [Turn(axes, marked) for marked in itertools.product((False, True), repeat=rank)]


def right_angles(shape: Sequence[int], spacing: Sequence[float]) -> list[Turn]:
    """The axes in another order that keeps sides and voxel sizes, with every combination of flips; without `flips`."""
    rank = len(shape)
    sides = [(side, round(float(step), 3)) for side, step in zip(shape, spacing, strict=True)]
    orders = [order for order in itertools.permutations(range(rank)) if [sides[a] for a in order] == sides][1:]
    return [Turn(order, marked) for order in orders for marked in itertools.product((False, True), repeat=rank)]


def small_rotations(rank: int, degrees: Sequence[float]) -> list[Turn]:
    """Rotations by each of `degrees` in each plane of two axes."""
    axes, still = tuple(range(rank)), (False,) * rank
    return [Turn(axes, still, plane, d) for plane in itertools.combinations(range(rank), 2) for d in degrees]


def turned(images: Tensor, turn: Turn, spacing: Sequence[float]) -> Tensor:
    """`images` (B, C, *spatial) under a turn about their centre; linear interpolation, edges go on.

    Args:
        images: floating point.
        turn: keeps the shape.
        spacing: voxel size along each axis: a rotation is one in mm.
    """
    rank = images.ndim - 2
    done = images.permute(0, 1, *(2 + axis for axis in turn.axes))
    done = done.flip([2 + axis for axis in range(rank) if turn.flips[axis]])
    if turn.degrees == 0:
        return done
    first, second = turn.plane
    matrix = np.eye(rank)
    cos, sin = np.cos(np.radians(turn.degrees)), np.sin(np.radians(turn.degrees))
    matrix[[first, first, second, second], [first, second, first, second]] = cos, -sin, sin, cos
    half = np.array(images.shape[2:]) * np.asarray(spacing, dtype=np.float64)
    normal = (matrix * half[None] / half[:, None])[::-1, ::-1]  # in units of half a side, the last axis first
    theta = torch.from_numpy(np.concatenate([normal, np.zeros((rank, 1))], axis=1)).to(done.dtype)
    grid = F.affine_grid(theta[None].expand(len(done), -1, -1), list(done.shape), align_corners=False)
    return F.grid_sample(done, grid, mode="bilinear", padding_mode="border", align_corners=False)
