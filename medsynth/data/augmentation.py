"""Augmentation that respects anatomy, and tells the network what it did.

The network gets the parameters of every augmentation as part of its condition, and
zeros when it samples, so that augmented scans widen what it learns without leaking
into what it makes (Karras et al. 2022, appendix F.2).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.transforms import Affine, create_rotate
from torch import Tensor

from medsynth.errors import MedsynthError


class Augmented(NamedTuple):
    """An augmented sample (C, *spatial) and the parameters (P,) of what was done, 0 for nothing."""

    x: Tensor
    parameters: Tensor


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of a training case.

    Args:
        shift: largest shift in voxels along each axis, whole voxels: nothing is interpolated.
        rotate: largest rotation in degrees, about each axis (3D) or in the plane (2D).
        scale: largest relative change of size, 0.05 for 5%.
        flip: array axes along which to mirror at random; empty by default, because a
            mirrored body is another anatomy (the liver changes sides).
        probability: of rotating and scaling a case at all.
    """

    shift: int = 0
    rotate: float = 0.0
    scale: float = 0.0
    flip: tuple[int, ...] = ()
    probability: float = 0.5

    def __post_init__(self) -> None:
        if self.shift < 0 or self.rotate < 0 or not 0 <= self.scale < 1 or not 0 <= self.probability <= 1:
            raise MedsynthError("data.augmentation: shift and rotate are at least 0, scale and probability in 0..1")
        if any(axis < 0 for axis in self.flip) or len(set(self.flip)) < len(self.flip):
            raise MedsynthError("data.augmentation.flip names axes from 0 on, each once; name the axes to mirror along")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "flip": list(self.flip)}

    def width(self, rank: int) -> int:
        """P, the number of parameters that the network is told."""
        turning = (3 if rank == 3 else 1) + 1 if self.rotate or self.scale else 0
        return (rank if self.shift else 0) + turning + len(self.flip)

    def __call__(self, x: Tensor, generator: np.random.Generator, spacing: Sequence[float] | None = None) -> Augmented:
        """Augment one case.

        Args:
            x: (C, *spatial) in model units, larger than the result by 2 `shift` along each axis.
                A turn interpolates the channels of a label map like the images, by cubic splines within each
                channel's range.
            generator: all randomness comes from it.
            spacing: mm along each axis, that a turn stays a turn where voxels are no cubes;
                None takes them for cubes.
        """
        rank = x.ndim - 1
        told: list[float] = []
        offset = np.zeros(rank, dtype=int)
        if self.shift:
            offset = generator.integers(-self.shift, self.shift + 1, rank)
            told += list(offset / self.shift)
        for axis, start in enumerate(self.shift + offset):
            x = x.narrow(1 + axis, int(start), x.shape[1 + axis] - 2 * self.shift)
        if self.rotate or self.scale:
            angles = generator.uniform(-1, 1, 3 if rank == 3 else 1)
            size = generator.uniform(-1, 1)
            if generator.uniform() >= self.probability:
                angles, size = angles * 0, 0.0
            if angles.any() or size:
                x = self._turn(x, np.radians(self.rotate) * angles, 1 + self.scale * size, spacing)
            told += [*angles, size]
        for axis in self.flip:
            mirrored = bool(generator.integers(2))
            x = x.flip(1 + axis) if mirrored else x
            told.append(float(mirrored))
        return Augmented(x.contiguous(), torch.tensor(told, dtype=torch.float32))

    @staticmethod
    def _turn(x: Tensor, angles: Sequence[float], size: float, spacing: Sequence[float] | None) -> Tensor:
        rank = x.ndim - 1
        matrix = np.asarray(create_rotate(rank, list(angles))) @ np.diag([1 / size] * rank + [1.0])
        if spacing is not None:
            steps = np.diag([*spacing, 1.0])
            matrix = np.linalg.inv(steps) @ matrix @ steps
        # Cubic splines: linear interpolation leaves 0.55 of white noise in 3D, and a model that saw most cases turned
        # makes smooth samples, though it is told of every turn (docs/results.md).
        turned = Affine(affine=matrix, mode=3, padding_mode="nearest", image_only=True)(x)
        plain = torch.as_tensor(turned).as_subclass(Tensor)  # MONAI gives its own kind
        axes = tuple(range(1, x.ndim))
        # A spline swings over at sharp edges; a channel keeps its own range.
        return torch.clamp(plain, x.amin(axes, keepdim=True), x.amax(axes, keepdim=True))
