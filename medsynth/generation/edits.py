"""Edits of one batch: what is known of the samples, where sampling begins, how the seam is mended."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Denoiser
from medsynth.diffusion.editing import between, inverted, start, strength_grid, travelled, varied
from medsynth.diffusion.projections import Project, keep_outside, projected
from medsynth.diffusion.samplers import Sampler
from medsynth.models.conditioner import Asked
from medsynth.models.model import DiffusionModel

_FAR = 1e6
RETURNS_FROM, RETURNS_BELOW = 0.002, 1.0
"""Levels between which time travel goes back, in standard deviations of the data. Neighbouring voxels agree at low
noise alone: with a lowest level of 0.1 a seam is left on radiographs."""


@dataclass(frozen=True)
class KeepOutside:
    """Inpainting: all outside of a mask stays as it is.

    Args:
        model: whose latents are sampled.
        known: (B, C, *spatial) in model units, on the model's device.
        mask: bool, broadcasts to it; true where to make anew.
        returns: how often the sampler goes back, see `travelled`.
        reach: how far the error seen outside is taken off inside, in voxels, see `keep_outside`.
    """

    model: DiffusionModel
    known: Tensor
    mask: Tensor
    returns: int
    reach: float = 0.0

    def project(self, reach: float = 0.0) -> Project:
        """On latents: the mask is one of voxels."""
        keep = keep_outside(self.known, self.mask, reach)
        return lambda z: self.model.encode(keep(self.model.decode(z)))

    def denoiser(self, denoise: Denoiser) -> Denoiser:
        """See Edit."""
        return projected(denoise, self.project(self.reach))

    def begin(self, free: Tensor, noise: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """See Edit."""
        return start(free, noise, float(grid[0]), self.project()), grid

    def sampler(self, sampler: Sampler) -> Sampler:
        """See Edit."""
        spread = float(self.model.sigma_data.square().mean().sqrt())
        return travelled(sampler, self.returns, low=RETURNS_FROM * spread, high=RETURNS_BELOW * spread)


@dataclass(frozen=True)
class _Plain:
    """An edit that changes where sampling begins alone."""

    def denoiser(self, denoise: Denoiser) -> Denoiser:
        """See Edit."""
        return denoise

    def sampler(self, sampler: Sampler) -> Sampler:
        """See Edit."""
        return sampler


@dataclass(frozen=True)
class FromImage(_Plain):
    """Image to image: from the scan at a noise level down.

    Args:
        latents: (B, C', *spatial) of the scans.
        strength: see `strength_grid`.
    """

    latents: Tensor
    strength: float

    def begin(self, free: Tensor, noise: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """See Edit."""
        del free
        walked = strength_grid(grid, self.strength)
        return self.latents + float(walked[0]) * noise, walked


@dataclass(frozen=True)
class _FromNoise(_Plain):
    """Edits of the noise that a scan comes from.

    Args:
        model: whose scans.
        latents: (B, C', *spatial) of the scans.
        asked: what they are, told on the way up.
    """

    model: DiffusionModel
    latents: Tensor
    asked: Sequence[Asked]

    def noise_of(self, latents: Tensor, asked: Sequence[Asked], grid: Tensor) -> Tensor:
        """Up along the probability flow, unguided."""
        return inverted(self.model.denoise, latents, grid, self.model.condition(asked))

    @functools.cached_property
    def centre(self) -> Tensor:
        """(1, C', *spatial), the mean of the data, which noise leaves behind it."""
        nothing = self.latents[:1] * 0
        if self.model.parametrisation.name != "edm":
            return nothing
        return self.model.prior.mean(nothing, torch.full((1,), _FAR, device=nothing.device))


@dataclass(frozen=True)
class Varied(_FromNoise):
    """Variations: the noise that a scan comes from, mixed with other.

    Args:
        amounts: (B,), see `varied`.
    """

    amounts: Sequence[float]

    def begin(self, free: Tensor, noise: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """See Edit."""
        del noise
        own = self.noise_of(self.latents, self.asked, grid)
        parts = zip(own.chunk(len(own)), free.chunk(len(free)), self.amounts, strict=True)
        return torch.cat([varied(one, other, amount, self.centre) for one, other, amount in parts]), grid


@dataclass(frozen=True)
class Between(_FromNoise):
    """Interpolation: between the noises that two scans come from.

    Args:
        second: (B, C', *spatial), the other scans.
        second_asked: what those are.
        shares: (B,), see `between`.
    """

    second: Tensor
    second_asked: Sequence[Asked]
    shares: Sequence[float]

    def begin(self, free: Tensor, noise: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """See Edit."""
        del free, noise
        one = self.noise_of(self.latents, self.asked, grid)
        other = self.noise_of(self.second, self.second_asked, grid)
        parts = zip(one.chunk(len(one)), other.chunk(len(other)), self.shares, strict=True)
        return torch.cat([between(a, b, share, self.centre) for a, b, share in parts]), grid
