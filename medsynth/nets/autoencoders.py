"""Autoencoders that need no training: the identity and the orthonormal Haar wavelet."""

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from medsynth.errors import MedsynthError
from medsynth.nets.recorded import Recorded


class Autoencoder(Protocol):
    """Between a sample and its latent; `decode(encode(x))` is x or close to it."""

    stride: int

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *spatial) -> (B, C', *spatial / stride)."""

    def decode(self, z: Tensor) -> Tensor:
        """The way back."""

    def latent_channels(self, channels: int, rank: int) -> int:
        """C' for C input channels."""


class Identity(Recorded, nn.Module):
    """Pixel space: the latent is the sample itself."""

    stride = 1

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *spatial), unchanged."""
        return x

    def decode(self, z: Tensor) -> Tensor:
        """(B, C, *spatial), unchanged."""
        return z

    def latent_channels(self, channels: int, rank: int) -> int:
        """C."""
        del rank
        return channels


class Haar(Recorded, nn.Module):
    """Orthonormal Haar wavelet packet (Haar 1910): exact, and white noise stays white.

    Each level halves every side and makes 2^rank bands a channel. Latent channel
    b * C + c is band b of input channel c; band 0 is the local mean.

    Args:
        levels: how many times the sides are halved.
    """

    def __init__(self, levels: int = 1) -> None:
        super().__init__()
        if levels < 1:
            raise MedsynthError("autoencoder.levels is at least 1")
        self.levels = levels
        self.stride = 2**levels

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *spatial) -> (B, C 2^(rank levels), *spatial / 2^levels)."""
        if any(side % self.stride for side in x.shape[2:]):
            sides = "x".join(map(str, x.shape[2:]))
            raise MedsynthError(
                f"a size of {sides} does not divide by {self.stride}: change data.resampling.size or autoencoder.levels"
            )
        for _ in range(self.levels):
            x = torch.cat(self._bands(x), dim=1)
        return x

    def decode(self, z: Tensor) -> Tensor:
        """The exact inverse of `encode`."""
        rank = z.ndim - 2
        for _ in range(self.levels):
            parts = list(z.chunk(2**rank, dim=1))
            for axis in range(rank, 0, -1):
                pairs = zip(parts[::2], parts[1::2], strict=True)
                parts = [_merge(low, high, 1 + axis) for low, high in pairs]
            z = parts[0]
        return z

    def latent_channels(self, channels: int, rank: int) -> int:
        """C 2^(rank levels)."""
        return channels << (rank * self.levels)

    @staticmethod
    def _bands(x: Tensor) -> list[Tensor]:
        parts = [x]
        for axis in range(2, x.ndim):
            parts = [half for part in parts for half in _halves(part, axis)]
        return parts


def _halves(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    even, odd = x.unfold(axis, 2, 2).unbind(-1)
    return (even + odd) / math.sqrt(2), (even - odd) / math.sqrt(2)


def _merge(low: Tensor, high: Tensor, axis: int) -> Tensor:
    even, odd = (low + high) / math.sqrt(2), (low - high) / math.sqrt(2)
    return torch.stack([even, odd], dim=axis + 1).flatten(axis, axis + 1)
