"""A small convolutional encoder of images of any size, 2D or 3D."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class ConvEncoder(nn.Module):
    """Means and standard deviations over the image of every level's channels.

    The finest level sees single voxels (noise, blur), the coarsest has a field of view of about 60 voxels a side.

    Args:
        rank: 2 or 3.
        channels: of the input.
        widths: channels of each level; every level after the first halves the sides.
    """

    def __init__(self, rank: int, channels: int = 1, widths: Sequence[int] = (8, 16, 32, 64)) -> None:
        super().__init__()
        convolution = nn.Conv3d if rank == 3 else nn.Conv2d
        self.levels = nn.ModuleList()
        for level, width in enumerate(widths):
            before = channels if level == 0 else widths[level - 1]
            stride = 1 if level == 0 else 2
            self.levels.append(
                nn.Sequential(
                    convolution(before, width, 3, stride=stride, padding=1),
                    nn.GELU(),
                    convolution(width, width, 3, padding=1),
                    nn.GELU(),
                )
            )
        self.width = 2 * sum(widths)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, *spatial) -> (B, width)."""
        parts = []
        for level in self.levels:
            x = level(x)
            places = x.flatten(2)
            parts += [places.mean(dim=2), torch.sqrt(places.var(dim=2, correction=0) + 1e-6)]
        return torch.cat(parts, dim=1)


class Embedded(NamedTuple):
    """Features of an encoder's levels (B, width) and what a projector makes of them (B, embedding)."""

    levels: Tensor
    embedding: Tensor


class EmbeddingEncoder(nn.Module):
    """A `ConvEncoder` with a projector of two layers on its features.

    Args:
        rank: 2 or 3.
        widths: channels of each level.
        embedding: features of the projector.
    """

    def __init__(self, rank: int, widths: Sequence[int], embedding: int) -> None:
        super().__init__()
        self.encoder = ConvEncoder(rank, widths=widths)
        self.projector = nn.Sequential(
            nn.BatchNorm1d(self.encoder.width),
            nn.Linear(self.encoder.width, embedding),
            nn.BatchNorm1d(embedding),
            nn.ReLU(),
            nn.Linear(embedding, embedding),
        )

    def forward(self, x: Tensor) -> Embedded:
        """(B, 1, *spatial) -> both."""
        levels = self.encoder(x)
        return Embedded(levels, self.projector(levels))
