"""What a network that others trained wants to be given, and what is taken from its output."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from medsynth.errors import MedsynthError


@dataclass(frozen=True, kw_only=True)
class NetworkInput:
    """The form of a network's input.

    Args:
        rank: of the network, 2 or 3. A network in 2D sees the middle slice of each of the three planes of a volume,
            and its features of the three stand side by side.
        channels: the image is repeated to as many.
        size: sides that images are resampled to (linear, smoothed where they shrink), `rank` of them or one for all;
            None: as they are. An image keeps its shape in mm and is padded with its darkest value around it.
        low, high: the robust range of the training images maps onto these, and what lies beyond is clipped; for
            units that mean something (HU) set `range_in_units`.
        range_in_units: (low, high) in units of the images instead of the training images' range.
        mean, std: subtracted and divided by afterwards: one for all channels or one for each.
    """

    rank: int
    channels: int = 1
    size: tuple[int, ...] | None = None
    low: float = 0.0
    high: float = 1.0
    range_in_units: tuple[float, float] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for key in ("size", "range_in_units", "mean", "std"):  # Hydra's lists
            value = getattr(self, key)
            object.__setattr__(self, key, None if value is None else tuple(value))
        if self.rank not in (2, 3) or self.channels < 1 or not self.high > self.low:
            raise MedsynthError("a network's input has rank 2 or 3, channels 1 or more, and high above low")
        if any(len(of) not in (1, self.channels) for of in (self.mean, self.std)) or not min(self.std) > 0:
            raise MedsynthError("a network's input has one mean and one std above 0, or one of each for every channel")
        if self.size is not None and (len(self.size) not in (1, self.rank) or min(self.size) < 1):
            raise MedsynthError("a network's input has one size, or one for each axis, of 1 or more")
        if self.range_in_units is not None and not self.range_in_units[1] > self.range_in_units[0]:
            raise MedsynthError("range_in_units is low, then high")

    def views(self, images: NDArray[np.floating], spacing: Sequence[float]) -> list[tuple[Tensor, tuple[float, ...]]]:
        """Images (N, *spatial) -> [(N, *network spatial), spacing in mm]: one view, or one for each plane.

        Raises:
            MedsynthError: images in 2D for a network in 3D.
        """
        x = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
        steps = tuple(float(step) for step in spacing)
        if x.ndim - 1 == self.rank:
            return [(x, steps)]
        if x.ndim - 1 == 3 and self.rank == 2:
            return [
                (x.select(axis + 1, x.shape[axis + 1] // 2), tuple(s for a, s in enumerate(steps) if a != axis))
                for axis in range(3)
            ]
        raise MedsynthError(f"the network takes images in {self.rank}D, these are in {x.ndim - 1}D; name another")

    def prepare(self, x: Tensor, spacing: Sequence[float], low: float, high: float) -> Tensor:
        """(B, *spatial) in units -> (B, channels, *size).

        Args:
            x: images of the network's rank.
            spacing: voxel size in mm.
            low, high: robust range of the training images, in their units.
        """
        low, high = self.range_in_units or (low, high)
        share = ((x - low) / (high - low)).clamp(0, 1)
        scaled = (share * (self.high - self.low) + self.low)[:, None]
        if self.size is not None:
            scaled = _fitted(scaled, spacing, self.size if len(self.size) > 1 else self.size * self.rank)
        shape = (1, -1, *(1,) * self.rank)
        mean, std = (torch.tensor(of, dtype=torch.float32).view(shape) for of in (self.mean, self.std))
        return (scaled.expand(-1, self.channels, *scaled.shape[2:]) - mean) / std


def pooled(output: object) -> Tensor:
    """(B, F) of a network's output: (B, F) as it is, (B, F, *spatial) averaged over space.

    Raises:
        MedsynthError: the output is no tensor of that form.
    """
    if isinstance(output, tuple | list) and len(output) == 1:
        output = output[0]
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise MedsynthError(
            "the network gives no features (B, F) or (B, F, *spatial); wrap it so that it returns one tensor"
        )
    return output.flatten(2).mean(dim=2) if output.ndim > 2 else output


def _fitted(x: Tensor, spacing: Sequence[float], size: tuple[int, ...]) -> Tensor:
    """Resampled to one spacing that lets (B, 1, *spatial) fill `size`, then padded around."""
    extent = [side * step for side, step in zip(x.shape[2:], spacing, strict=True)]
    scale = min(side / mm for side, mm in zip(size, extent, strict=True))
    inner = [max(1, min(side, round(mm * scale))) for side, mm in zip(size, extent, strict=True)]
    if x.ndim == 4:
        x = F.interpolate(x, size=inner, mode="bilinear", antialias=True)
    else:  # torch smooths in 2D only
        while min(old / new for old, new in zip(x.shape[2:], inner, strict=True)) >= 2:
            x = F.avg_pool3d(x, 2)
        x = F.interpolate(x, size=inner, mode="trilinear")
    edges: list[int] = []
    for side, kept in reversed(list(zip(size, inner, strict=True))):
        edges += [(side - kept) // 2, side - kept - (side - kept) // 2]
    if not any(edges):
        return x
    darkest = x.flatten(1).min(dim=1).values.view(-1, *(1,) * (x.ndim - 1))
    return F.pad(x - darkest, edges) + darkest
