"""A Gaussian model of the data: what a linear denoiser knows without being trained.

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

from medsynth.diffusion.denoiser import to_rank
from medsynth.diffusion.noise import generator_for
from medsynth.errors import MedsynthError

OWNERS_PER_MODE = 16
MOST_MODES = 64
_LARGEST = 2**22  # numbers in the modes, 16 MB
_MOST_SAMPLES = 1024  # whose covariance is measured
_MOST_NUMBERS = 2**26  # in all of them together, 256 MB: 16 samples for each mode
_MOST_OF_ONE = 0.5  # leverage of one owner in the modes; 1 would be a direction of its own


class Moments(NamedTuple):
    """What `GaussianPrior.fit` measures besides its own: mean and standard deviation of every channel, (C,)."""

    mean: Tensor
    std: Tensor


class GaussianPrior(nn.Module):
    """Data around a mean map, spread along a few modes u_k and, apart from them, evenly in each channel.

    Mean map and modes (orthonormal) live in the first `rough` channels, a wavelet's coarse
    bands, on a grid of block sums of `factor` voxels a side on which white noise stays
    white: they hold no fine detail of a patient. With no modes the mean map is 0 and all is
    even: EDM's model of the data, whose posterior mean and standard deviation are EDM's
    c_skip x and c_out (Karras et al. 2022, Table 1).

    Args:
        channels: C of the latent.
        shape: its spatial sides.
        modes: K, principal modes of the training data; 0 for none.
        rough: leading channels that mean map and modes span; all by default.
        factor: least size of a block.

    Raises:
        MedsynthError: modes that no memory holds.
    """

    mean_map: Tensor
    modes: Tensor
    shares: Tensor
    variances: Tensor
    coarse_std: Tensor
    fine_std: Tensor

    def __init__(
        self, channels: int, shape: Sequence[int], modes: int = 0, rough: int | None = None, factor: int = 1
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.rough = channels if rough is None else rough
        self.factor = _factor(self.rough * modes, self.shape, factor)
        coarse = tuple(side // self.factor for side in self.shape) if modes else (1,) * len(self.shape)
        if self.rough * modes * math.prod(coarse) > 32 * _LARGEST:
            raise MedsynthError(
                f"modes={modes}: too many for sides that do not halve; give data.resampling.size sides that halve more "
                "often, or set parametrisation.modes=0"
            )
        self.register_buffer("mean_map", torch.zeros(self.rough, *coarse))
        self.register_buffer("modes", torch.zeros(modes, self.rough, *coarse))
        self.register_buffer("shares", torch.zeros(modes, self.rough))
        self.register_buffer("variances", torch.zeros(modes))
        self.register_buffer("coarse_std", torch.ones(channels))
        self.register_buffer("fine_std", torch.ones(channels))

    @torch.no_grad()
    def fit(self, latents: Iterable[Tensor], owners: Sequence[int]) -> Moments:
        """Measure the data.

        Mean map and modes are those of at most 1,024 samples, drawn by lot, one of every owner
        before a second of any. Every owner counts the same; there are 16 of them to a mode, or
        fewer modes; one without whom a direction would not be there is left out (see `_fit_modes`).

        Args:
            latents: (B, C, *spatial) each; at least one varies.
            owners: of every sample a number that stands for its patient.

        Returns:
            Mean and standard deviation of every channel over all samples and voxels. The prior is that of
            the latents less this mean.
        """
        place = _drawn(owners, self.mean_map.numel()) if len(self.modes) else {}
        kept = torch.empty(len(place), *self.mean_map.shape)
        count, total, squares, coarse_squares = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
        for z in latents:
            z, spatial = z.double(), (0, *range(2, z.ndim))
            w = to_coarse(z[:, : self.rough], self.factor)
            for row in range(len(z)):
                if count + row in place:
                    kept[place[count + row]] = w[row]
            count += len(z)
            total, squares = total + z.sum(spatial), squares + z.square().sum(spatial)
            coarse_squares = coarse_squares + w.square().sum(spatial)
        voxels = math.prod(self.shape)
        mean = total / (count * voxels)
        std = (squares / (count * voxels) - mean**2).clamp(min=0).sqrt()
        self.coarse_std.copy_(_above_zero(std))
        self.fine_std.copy_(_above_zero(std))
        if place:
            constant = mean[: self.rough] * math.sqrt(self.factor ** len(self.shape))
            kept -= to_rank(constant.float(), kept.ndim - 1)
            fine = (squares[: self.rough] - coarse_squares) / count  # a constant lies on the coarse grid
            self._fit_modes(kept, fine, torch.tensor(owners)[list(place)])
        return Moments(mean, std)

    def _fit_modes(self, w: Tensor, fine: Tensor, owners: Tensor) -> None:
        """Principal modes of coarse samples by their Gram matrix (Sirovich 1987).

        An owner's leverage is the part of its own direction that the modes span: their left
        singular vectors' squares, summed over modes and its samples. Above one half the modes
        would hold its picture; it is left out and the rest measured anew.

        Args:
            w: (N, rough, *coarse), centred by channel.
            fine: (rough,) energy off the coarse grid in a sample.
            owners: (N,).
        """
        while True:
            _, whose, samples = torch.unique(owners, return_inverse=True, return_counts=True)
            people = len(samples)
            kept = min(len(self.modes), people // OWNERS_PER_MODE)
            if not kept:
                return
            weight = (1 / (samples[whose] * people)).to(w.dtype)  # every owner the same
            mean = torch.einsum("n,n...->...", weight, w)
            apart = (w - mean).flatten(1) * weight.sqrt()[:, None]
            energies, turned = torch.linalg.eigh(apart.double() @ apart.double().T)
            energies, turned = energies.flip(0)[:kept].clamp(min=0), turned.flip(1)[:, :kept]
            there = energies > 1e-6 * energies.max().clamp(min=1e-30)
            leverage = torch.zeros(people, dtype=turned.dtype).index_add(0, whose, (turned * there).square().sum(1))
            stays = leverage[whose] <= _MOST_OF_ONE
            if stays.all():
                break
            w, owners = w[stays], owners[stays]
        scale = torch.where(there, energies.clamp(min=1e-30).rsqrt(), torch.zeros(()).double())
        grown = people / (people - 1)
        self.mean_map.copy_(mean)
        self.modes[:kept] = ((turned * scale).T.to(apart.dtype) @ apart).view_as(self.modes[:kept])
        self.variances[:kept] = energies * there * grown
        self.shares.copy_(self.modes.flatten(2).square().sum(2))
        places = math.prod(w.shape[2:])
        every = apart.square().sum(0).view(self.rough, places).sum(1) * grown
        left = (every - self.variances @ self.shares).clamp(min=0) / (places - self.shares.sum(0)).clamp(min=1e-6)
        self.coarse_std[: self.rough] = torch.maximum(left.sqrt(), 1e-3 * self.coarse_std[: self.rough])
        off_grid = math.prod(self.shape) - places
        rest = (fine.clamp(min=0) / off_grid).sqrt() if off_grid else left.sqrt()
        self.fine_std[: self.rough] = torch.maximum(rest.to(left.dtype), 1e-3 * self.fine_std[: self.rough])

    def mean(self, x: Tensor, sigma: Tensor) -> Tensor:
        """A linear estimate of y in x = y + sigma n: x (B, C, *spatial), sigma (B,) -> (B, C, *spatial).

        Each mode shrinks by its own variance, the rest by its channel's. It is the Wiener filter
        E[y | x] where the channels' spread apart from the modes is one number, and near it elsewhere.
        """
        level = sigma.square()[:, None]
        coarse, fine, own = (std / (std + level) for std in self._variances(x.dtype))
        return self._filter(x, fine, coarse, own, self.mean_map.to(x.dtype))

    def start(self, noise: Tensor, sigma: float) -> Tensor:
        """Where sampling begins: white noise (B, C, *spatial) turned into y + sigma n of the prior's y."""
        coarse, fine, own = ((std + sigma**2).sqrt() for std in self._variances(noise.dtype))
        return self._filter(noise, fine, coarse, own, torch.zeros_like(self.mean_map, dtype=noise.dtype))

    def std(self, sigma: Tensor, rank: int) -> Tensor:
        """Root mean square of y - `mean` by channel: sigma (B,) -> (B, C, 1, ...) of `rank` axes.

        Of the Gaussian's y, and where the spread apart from the modes is one number, as for `mean`.
        """
        level = sigma.square()[:, None]
        coarse, fine, own = (std * level / (std + level) for std in self._variances(sigma.dtype))
        if not len(self.modes):
            return to_rank(fine.sqrt(), rank)
        voxels, places = math.prod(self.shape), math.prod(self.modes.shape[2:])
        shares, r = self.shares.to(sigma.dtype), self.rough
        spread = (own[:, :, None] * shares).sum(1)  # no matrix product: those are bfloat16 under autocast
        left = spread + (places - shares.sum(0)) * coarse[:, :r] + (voxels - places) * fine[:, :r]
        return to_rank(torch.cat([left / voxels, fine[:, r:]], dim=1).sqrt(), rank)

    def _variances(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """On the coarse grid by channel (1, C), off it (1, C), along the modes (1, K)."""
        coarse, fine = (std.to(dtype).square()[None] for std in (self.coarse_std, self.fine_std))
        return coarse, fine, self.variances.to(dtype)[None]

    def _filter(self, x: Tensor, fine: Tensor, coarse: Tensor, own: Tensor, centre: Tensor) -> Tensor:
        """Scale x - centre off the coarse grid, on it, and along the modes, and add the mean map."""
        scaled = to_rank(fine, x.ndim) * x
        if not len(self.modes):
            return scaled
        modes, r = self.modes.to(x.dtype).flatten(1), self.rough
        w = to_coarse(x[:, :r], self.factor)
        apart = w - centre
        weights = apart.flatten(1) @ modes.T
        rest = to_rank(coarse[:, :r], x.ndim) * (apart - (weights @ modes).view_as(w))
        expected = self.mean_map.to(x.dtype) + rest + ((weights * own) @ modes).view_as(w)
        rough = scaled[:, :r] + from_coarse(expected - to_rank(fine[:, :r], x.ndim) * w, self.factor)
        return torch.cat([rough, scaled[:, r:]], dim=1)


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


def most_modes(owners: int) -> int:
    """How many modes so many patients carry: one for every 16, at most 64."""
    return min(owners // OWNERS_PER_MODE, MOST_MODES)


def _drawn(owners: Sequence[int], numbers: int) -> dict[int, int]:
    """Samples to measure -> their rows: with so many `numbers` each, as many as memory should hold."""
    most = min(len(owners), _MOST_SAMPLES, max(OWNERS_PER_MODE, _MOST_NUMBERS // numbers))
    turns: dict[int, int] = {}
    by_turn: list[tuple[int, int, int]] = []  # how many of its owner came before, lot, sample
    for lot, sample in enumerate(torch.randperm(len(owners), generator=generator_for("prior", len(owners))).tolist()):
        turn = turns[owners[sample]] = turns.get(owners[sample], -1) + 1
        by_turn.append((turn, lot, sample))
    return {sample: row for row, sample in enumerate(sorted(sample for _, _, sample in sorted(by_turn)[:most]))}


def _factor(width: int, shape: Sequence[int], least: int) -> int:
    """The least power of 2 that keeps `width` numbers a coarse voxel below the limit, as far as the sides divide."""
    factor = 1
    while factor < least or width * math.prod(side // factor for side in shape) > _LARGEST:
        if any(side % (2 * factor) for side in shape):
            break
        factor *= 2
    return factor


def _above_zero(std: Tensor) -> Tensor:
    """A channel that never varies (a label absent from training, say) keeps a scale above 0."""
    return std.clamp(min=1e-3 * float(std.max()))
