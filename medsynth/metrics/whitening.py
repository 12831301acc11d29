"""Images brought to a coarse grid and divided by the amplitude spectrum that scans of their kind have."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

_TAPER = 0.15  # of each side, half at either end, falls to 0 under a cosine: an edge is no anatomy
_ROLL_OFF = 1.0  # of the highest frequency along an axis is damped to exp(-1/2): part of a voxel's shift costs little


class WhiteGrid:
    """A grid and a filter, fixed on real images.

    The filter is 1 / sqrt(P + N): P is the mean power spectrum of the reals, N that of white noise that a copy may
    carry. A correlation of two filtered images is a matched filter in noise of the scans' own spectrum (Turin 1960).
    What all scans share, and an offset, counts little.

    Args:
        real: (N, C, *spatial), real images on the samples' grid.
        voxels: of the coarse grid, at most about.
        noise: standard deviation of the noise, as a fraction of the robust range of the reals.
    """

    def __init__(self, real: Tensor, voxels: int, noise: float) -> None:
        rank = real.ndim - 2
        self.dims = tuple(range(-rank, 0))
        self.shape = coarse_shape(real.shape[2:], voxels)
        self._window = _taper(real.shape[2:])
        values = real.flatten()[:: max(1, real.numel() // 1_000_000)].float()
        low, high = torch.quantile(values, torch.tensor([0.005, 0.995]))
        floor = (noise * (high - low)).square() * self._window.square().sum()
        power = torch.stack([self._coarse(image[None])[0].abs().square() for image in real]).mean(0)
        self._filter = (power + floor).clamp(min=1e-12 * float(power.max())).rsqrt() * _low_pass(self.shape)
        self._filter[(..., *(0,) * rank)] = 0  # no offset

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, C, *spatial), real or not -> (N, C, *shape), of norm 1 or all 0."""
        flat = torch.fft.irfftn(self._coarse(images) * self._filter, s=self.shape, dim=self.dims)
        unit: Tensor = flat / flat.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, *(1,) * len(self.shape))
        return unit

    def _coarse(self, images: Tensor) -> Tensor:
        """Spectra (N, C, *frequencies) of the coarse grid: the lowest frequencies of the tapered images."""
        images = images.float()
        centred = (images - images.mean(dim=self.dims, keepdim=True)) * self._window
        spectra: Tensor = torch.fft.rfftn(centred, dim=self.dims)
        last = len(self.shape) - 1
        for axis, (side, full) in enumerate(zip(self.shape, images.shape[2:], strict=True)):
            kept = torch.arange(side // 2 + 1) if axis == last else (torch.fft.fftfreq(side) * side).round().long()
            spectra = spectra.index_select(2 + axis, kept % full)
        return spectra


def coarse_shape(shape: Sequence[int], voxels: int) -> tuple[int, ...]:
    """A grid of at most about `voxels` voxels with the proportions of `shape`, of even sides that transform fast."""
    shrink = min(1.0, (voxels / float(np.prod(shape))) ** (1 / len(shape)))
    sides = (next_fast_len(max(4, 2 * round(side * shrink / 2)), real=True) for side in shape)
    return tuple(min(full, side + side % 2) for full, side in zip(shape, sides, strict=True))


def _taper(shape: Sequence[int]) -> Tensor:
    window = torch.ones(())
    for side in shape:
        place = (torch.arange(side) + 0.5) / side
        edge = torch.minimum(place, 1 - place) / (_TAPER / 2)
        window = window[..., None] * (0.5 - 0.5 * torch.cos(np.pi * edge.clamp(max=1)))
    return window


def _low_pass(shape: Sequence[int]) -> Tensor:
    """Gaussian in each frequency; nothing at the highest of an even side, which has no direction."""
    weight = torch.ones(())
    for axis, side in enumerate(shape):
        frequency = torch.fft.rfftfreq(side) if axis == len(shape) - 1 else torch.fft.fftfreq(side)
        along = torch.exp(-0.5 * (frequency.abs() / (0.5 * _ROLL_OFF)).square())
        along[frequency.abs() >= 0.5 - 1e-6] = 0
        weight = weight[..., None] * along
    return weight
