"""Ordinary augmentation of a judging network's training images, on whole batches."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from monai.transforms import create_rotate
from torch import Tensor

from medsynth.errors import MedsynthError


@dataclass(frozen=True, kw_only=True)
class Augmenter:
    """Random changes of images in [-1, 1] and, in the same way, of their label maps.

    Args:
        shift: largest shift, in sides of the image.
        scale: largest relative change of size, 0.1 for 10%.
        rotate: largest rotation in degrees, about each axis (3D) or in the plane (2D).
        gain: largest relative change of the values' scale.
        offset: largest shift of the values.
        noise: standard deviation of white noise.
        flip: spatial axes along which to mirror at random; empty by default, because a mirrored
            body is another anatomy.
        spacing: mm along each axis, so that a turn stays a turn where voxels are no cubes; None
            takes them for cubes.
    """

    shift: float = 1 / 16
    scale: float = 0.1
    rotate: float = 0.0
    gain: float = 0.1
    offset: float = 0.1
    noise: float = 0.0
    flip: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if min(self.shift, self.rotate, self.gain, self.offset, self.noise) < 0 or not 0 <= self.scale < 1:
            raise MedsynthError("an augmenter's scale is in 0..1, its shift, rotate, gain, offset, noise at least 0")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"flip": list(self.flip), "spacing": None if self.spacing is None else list(self.spacing)}

    def __call__(
        self, x: Tensor, chance: torch.Generator, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Change each image of a batch by itself.

        Args:
            x: (B, C, *spatial), on the CPU.
            chance: all randomness comes from it.
            labels: (B, 1, *spatial) moved with the images, by nearest neighbour.
        """
        count, rank = len(x), x.ndim - 2

        def uniform(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=chance) * 2 - 1

        theta = torch.zeros(count, rank, rank + 1)
        theta[:, :, :rank] = torch.diag_embed(1 + self.scale * uniform(1).expand(-1, rank))
        theta[:, :, rank] = 2 * self.shift * uniform(rank)  # of a half side
        if self.rotate:
            theta[:, :, :rank] = self._turns(uniform(3 if rank == 3 else 1), x.shape[2:]) @ theta[:, :, :rank]
        grid = F.affine_grid(theta, [count, 1, *x.shape[2:]], align_corners=False)
        ones = (1,) * (rank + 1)
        x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        x = x * (1 + self.gain * uniform(*ones)) + self.offset * uniform(*ones)
        if labels is not None:
            labels = F.grid_sample(labels.float(), grid, mode="nearest", padding_mode="border", align_corners=False)
        for axis in self.flip:
            chosen = (uniform(*ones) > 0).to(x.device)
            x = torch.where(chosen, x.flip(2 + axis), x)
            labels = None if labels is None else torch.where(chosen, labels.flip(2 + axis), labels)
        if self.noise:
            x = x + self.noise * torch.randn(x.shape, generator=chance)
        return x, labels

    def _turns(self, parts: Tensor, sides: torch.Size) -> Tensor:
        """Rotations (B, rank, rank) in `affine_grid`'s coordinates, from angles (B, 3 or 1) in parts of the largest.

        That grid names the last axis first and measures in half sides; a turn is one in mm.
        """
        rank = len(sides)
        turns = [create_rotate(rank, torch.deg2rad(self.rotate * one).tolist())[:rank, :rank] for one in parts]
        turned = torch.stack([torch.as_tensor(turn, dtype=torch.float32) for turn in turns])
        length = torch.tensor(sides, dtype=torch.float32) * torch.tensor(self.spacing or (1.0,) * rank)
        return (turned * length[None, None, :] / length[None, :, None]).flip(1, 2)
