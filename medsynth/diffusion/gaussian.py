"""A Gaussian model of the data: what the best linear denoiser already knows.

At high noise the best denoiser of any data is that of the Gaussian with its mean and
covariance (Wang and Vastola 2024, "The unreasonable effectiveness of Gaussian score
approximation"), and a network learns it slowly: each voxel says little there, what tells
is the sum over the whole volume. So it is measured on the training data instead, and the
network is left with what no Gaussian knows.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from medsynth.diffusion.preconditioning import to_rank

_MOST_SAMPLES = 1024  # whose covariance is measured
_MOST_NUMBERS = 2**28  # in all of them together, 1 GB
_LARGEST = 2**24  # numbers in the modes, 64 MB
_MOST_OF_ONE = 0.5  # of a mode's variance


class Moments(NamedTuple):
    """What `GaussianPrior.fit` sets besides its own: mean and standard deviation of every channel, (C,)."""

    mean: Tensor
    std: Tensor


class GaussianPrior(nn.Module):
    """y ~ N(m, S) with S = sum_k (variance_k - r^2) u_k u_k^T + r^2 on a coarse grid and s^2 off it.

    The coarse grid holds the means of blocks of `factor` voxels a side, scaled so that
    white noise stays white there; m and the modes u_k (orthonormal) lie on it. r and s
    are one number a channel. With no modes m is 0 and r = s: EDM's model of the data, whose
    posterior mean and standard deviation are EDM's c_skip x and c_out (Karras et al. 2022, Table 1).

    Args:
        channels: C of the latent.
        shape: its spatial sides.
        modes: K, principal modes of the training data; 0 for none.
    """

    mean_map: Tensor
    modes: Tensor
    shares: Tensor
    variances: Tensor
    coarse_std: Tensor
    fine_std: Tensor

    def __init__(self, channels: int, shape: Sequence[int], modes: int = 0) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.factor = _factor(channels * modes, self.shape)
        if channels * modes * math.prod(side // self.factor for side in self.shape) > 8 * _LARGEST:
            raise ValueError("too many modes for sides that do not halve")
        coarse = tuple(side // self.factor for side in self.shape) if modes else (1,) * len(self.shape)
        self.register_buffer("mean_map", torch.zeros(channels, *coarse))
        self.register_buffer("modes", torch.zeros(modes, channels, *coarse))
        self.register_buffer("shares", torch.zeros(modes, channels))
        self.register_buffer("variances", torch.zeros(modes))
        self.register_buffer("coarse_std", torch.ones(channels))
        self.register_buffer("fine_std", torch.ones(channels))

    @torch.no_grad()
    def fit(self, latents: Iterable[Tensor], owners: Sequence[int]) -> Moments:
        """Measure the data.

        Mean map and modes are those of at most 1,024 samples, evenly chosen. A mode that owes
        more than half of its variance to one owner is left out: it would be that patient's picture.

        Args:
            latents: (B, C, *spatial) each; at least one varies.
            owners: of every sample a number that stands for its patient.

        Returns:
            Mean and standard deviation of every channel over all samples and voxels. The prior is that of
            the latents less this mean.
        """
        count, total, squares, coarse_squares = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
        chosen = torch.tensor(_evenly(len(owners), self.mean_map.numel())) if len(self.modes) else torch.tensor([])
        kept: list[Tensor] = []
        for z in latents:
            w = to_coarse(z.double(), self.factor)
            kept.extend(w[place - count].float() for place in chosen.tolist() if 0 <= place - count < len(z))
            count += len(z)
            total = total + z.double().sum((0, *range(2, z.ndim)))
            squares = squares + z.double().square().sum((0, *range(2, z.ndim)))
            coarse_squares = coarse_squares + w.square().sum((0, *range(2, w.ndim)))
        voxels = math.prod(self.shape)
        mean = total / (count * voxels)
        std = (squares / (count * voxels) - mean**2).clamp(min=0).sqrt()
        self.coarse_std.copy_(_above_zero(std))
        self.fine_std.copy_(_above_zero(std))
        if kept:
            fine = (squares - coarse_squares) / count  # a constant lies on the coarse grid
            w = torch.stack(kept) - to_rank(_coarse_constant(mean.float(), self), z.ndim - 1)
            self._fit_modes(w, fine, torch.tensor(owners)[chosen])
        return Moments(mean, std)

    def _fit_modes(self, w: Tensor, fine: Tensor, owners: Tensor) -> None:
        """Principal modes of coarse samples w (N, C, *coarse) by their Gram matrix; `fine` (C,) energy off the grid."""
        size, places = len(w), math.prod(w.shape[2:])
        self.mean_map.copy_(w.mean(0))
        apart = (w - self.mean_map).flatten(1)
        energies, turned = torch.linalg.eigh((apart @ apart.T).double())
        kept = min(len(self.modes), size - 1)
        energies, turned = energies.flip(0)[:kept].clamp(min=0), turned.flip(1)[:, :kept]
        of_one = torch.zeros(int(owners.max()) + 1, kept, dtype=turned.dtype).index_add(0, owners, turned.square())
        there = (energies > 1e-6 * energies.max().clamp(min=1e-30)) & (of_one.max(0).values <= _MOST_OF_ONE)
        scale = torch.where(there, energies.clamp(min=1e-30).rsqrt(), torch.zeros(()).double())
        self.modes.zero_()
        self.modes[:kept] = (turned * scale).T.to(apart.dtype).matmul(apart).view_as(self.modes[:kept])
        self.variances.zero_()
        self.variances[:kept] = energies * there / max(size - 1, 1)
        self.shares.copy_(self.modes.flatten(2).square().sum(2))
        every = apart.square().view(size, -1, places).sum((0, 2)) / max(size - 1, 1)
        left = (every - self.variances @ self.shares).clamp(min=0) / (places - self.shares.sum(0)).clamp(min=1e-6)
        self.coarse_std.copy_(_above_zero(left.sqrt()))
        off_grid = math.prod(self.shape) - places
        self.fine_std.copy_(_above_zero((fine.clamp(min=0) / off_grid).sqrt()) if off_grid else self.coarse_std)

    def mean(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[y | x = y + sigma n], the Wiener filter: x (B, C, *spatial), sigma (B,) -> (B, C, *spatial)."""
        level = sigma.square()
        fine = _gain(self.fine_std.to(x.dtype).square(), level, x.ndim)
        if not len(self.modes):
            return fine * x
        coarse = _gain(self.coarse_std.to(x.dtype).square(), level, x.ndim)
        w, mean, modes = to_coarse(x, self.factor), self.mean_map.to(x.dtype), self.modes.to(x.dtype).flatten(1)
        apart = w - mean
        weights = apart.flatten(1) @ modes.T
        variances = self.variances.to(x.dtype)[None]
        own = (weights * variances / (variances + level[:, None])) @ modes
        expected = mean + coarse * (apart - (weights @ modes).view_as(w)) + own.view_as(w)
        return fine * x + from_coarse(expected - fine * w, self.factor)

    def std(self, sigma: Tensor, rank: int) -> Tensor:
        """Root mean square of y - E[y | x] in each channel: sigma (B,) -> (B, C, 1, ...) of `rank` axes."""
        level = sigma.square()[:, None]
        voxels, places = math.prod(self.shape), math.prod(self.modes.shape[2:]) if len(self.modes) else 0
        shares, variances = self.shares.to(sigma.dtype), self.variances.to(sigma.dtype)[None]
        coarse, fine = (std.to(sigma.dtype).square()[None] for std in (self.coarse_std, self.fine_std))
        left = (variances * level / (variances + level)) @ shares
        left = left + (places - shares.sum(0) if places else 0) * coarse * level / (coarse + level)
        left = left + (voxels - places) * fine * level / (fine + level)
        return to_rank((left / voxels).sqrt(), rank)


def to_coarse(x: Tensor, factor: int) -> Tensor:
    """Sums of blocks of `factor` voxels a side over the root of their size: the Haar wavelet's coarse band.

    x: (B, C, *spatial) -> (B, C, *spatial / factor); the rows are orthonormal.
    """
    if factor == 1:
        return x
    for axis in range(2, x.ndim):
        blocks = x.reshape(*x.shape[:axis], x.shape[axis] // factor, factor, *x.shape[axis + 1 :])
        x = blocks.sum(axis + 1) / math.sqrt(factor)
    return x


def from_coarse(w: Tensor, factor: int) -> Tensor:
    """The transpose of `to_coarse`: every voxel of a block gets its share."""
    if factor == 1:
        return w
    for axis in range(2, w.ndim):
        w = w.repeat_interleave(factor, dim=axis) / math.sqrt(factor)
    return w


def _evenly(count: int, numbers: int) -> list[int]:
    """Places of the samples to measure: of `count` with so many `numbers` each, as many as memory should hold."""
    most = min(count, _MOST_SAMPLES, max(2, _MOST_NUMBERS // numbers))
    return [place * count // most for place in range(most)]


def _factor(width: int, shape: Sequence[int]) -> int:
    """The least power of 2 that keeps `width` numbers a coarse voxel below the limit, as far as the sides divide."""
    factor = 1
    while width * math.prod(side // factor for side in shape) > _LARGEST:
        if any(side % (2 * factor) for side in shape):
            break
        factor *= 2
    return factor


def _coarse_constant(values: Tensor, prior: GaussianPrior) -> Tensor:
    """A constant a channel, (C,), as it stands on the coarse grid."""
    return values * math.sqrt(prior.factor ** len(prior.shape))


def _gain(variance: Tensor, level: Tensor, rank: int) -> Tensor:
    """Variance / (variance + sigma^2), (B, C, 1, ...); variance: (C,), level: sigma^2 (B,)."""
    return to_rank(variance[None] / (variance[None] + level[:, None]), rank)


def _above_zero(std: Tensor) -> Tensor:
    """A channel that never varies (a label absent from training, say) keeps a scale above 0."""
    return std.clamp(min=1e-3 * float(std.max()))
