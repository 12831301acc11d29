"""Parametrisations: what a network sees and says, and how that becomes a Denoiser D(x; sigma, condition).

Each is a `Frame` around the network F: D = base + out F(seen; noise). DDPM's epsilon, v and
rectified flow are for data of variance 1 about; a Gaussian of the data as base is EDM's.

    x = y + sigma n          base             out                   seen               noise
    epsilon                  x                -sigma                x / sqrt(1+sigma^2)  t
    v                        x / (1+sigma^2)  -sigma/sqrt(1+sigma^2) x / sqrt(1+sigma^2)  t
    flow                     x / (1+sigma)    -sigma / (1+sigma)    x / (1+sigma)      1000 sigma / (1+sigma)
    EDM                      E[y | x]         its error             c_in x, E[y | x]/s  25/4 ln sigma
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from medsynth.diffusion.denoiser import Condition, Network, Prior, to_rank
from medsynth.diffusion.schedules import VpSchedule

ONE = torch.ones(1)
_EDM_NOISE = 25 / 4  # ln sigma over the periods of a sinusoidal embedding for t = 0 ... 1000


class Frame(NamedTuple):
    """What surrounds the network at x and sigma; (B, C or more, *spatial) or broadcast to it.

    Args:
        seen: the network's input.
        noise: (B,), the level as the network is told it.
        base: what D is where the network says 0.
        out: factor of the network's answer.
    """

    seen: Tensor
    noise: Tensor
    base: Tensor
    out: Tensor


class Parametrisation(Protocol):
    """How a network's answer becomes D."""

    @property
    def data_std(self) -> Tensor:
        """(C,) or (1,), the standard deviation that the data is taken to have in each channel."""

    def frame(self, x: Tensor, sigma: Tensor) -> Frame:
        """x: (B, C, *spatial), sigma: (B,)."""

    def out(self, sigma: Tensor, rank: int) -> Tensor:
        """The frame's `out`, which x does not change: (B,) -> (B, C or 1, 1, ...) of `rank` axes."""


@dataclass(frozen=True)
class Edm:
    """EDM's (Karras et al. 2022, eq. 7 and Table 1), with any Gaussian where it has a white one.

    c_skip x and c_out are the mean and the standard deviation of white Gaussian data seen
    through noise; here those of `prior`. c_in = 1 / sqrt(sigma^2 + s^2).

    Args:
        prior: Gaussian model of the data.
        data_std: s, (C,), the data's standard deviation channel by channel: each band of a
            wavelet is scaled with its own.
    """

    prior: Prior
    data_std: Tensor

    def frame(self, x: Tensor, sigma: Tensor) -> Frame:
        """See Parametrisation; the network sees 2 C channels, c_in x and E[y | x] / s."""
        data = to_rank(self.data_std.to(x.dtype)[None], x.ndim)
        expected = self.prior.mean(x, sigma)
        c_in = (to_rank(sigma, x.ndim).square() + data.square()).rsqrt()
        seen = torch.cat([c_in * x, expected / data], dim=1)
        return Frame(seen, sigma.log() * _EDM_NOISE, expected, self.out(sigma, x.ndim))

    def out(self, sigma: Tensor, rank: int) -> Tensor:
        """See Parametrisation."""
        return self.prior.std(sigma, rank)


@dataclass(frozen=True)
class Epsilon:
    """The network says the noise n (Ho et al. 2020, eq. 14): D = x - sigma F."""

    schedule: VpSchedule
    data_std: Tensor = ONE

    def frame(self, x: Tensor, sigma: Tensor) -> Frame:
        """See Parametrisation."""
        seen = x / to_rank(1 + sigma.square(), x.ndim).sqrt()
        return Frame(seen, self.schedule.times(sigma), x, self.out(sigma, x.ndim))

    def out(self, sigma: Tensor, rank: int) -> Tensor:
        """See Parametrisation."""
        return to_rank(-sigma, rank)


@dataclass(frozen=True)
class Velocity:
    """The network says v = alpha n - alpha sigma y (Salimans and Ho 2022, section 4 and appendix D)."""

    schedule: VpSchedule
    data_std: Tensor = ONE

    def frame(self, x: Tensor, sigma: Tensor) -> Frame:
        """See Parametrisation."""
        total = to_rank(1 + sigma.square(), x.ndim)
        return Frame(x / total.sqrt(), self.schedule.times(sigma), x / total, self.out(sigma, x.ndim))

    def out(self, sigma: Tensor, rank: int) -> Tensor:
        """See Parametrisation."""
        return to_rank(-sigma * (1 + sigma.square()).rsqrt(), rank)


@dataclass(frozen=True)
class Flow:
    """Rectified flow: the network says n - y at t = sigma / (1 + sigma) (Liu et al. 2023; Lipman et al. 2023)."""

    data_std: Tensor = ONE

    def frame(self, x: Tensor, sigma: Tensor) -> Frame:
        """See Parametrisation."""
        seen = x / to_rank(1 + sigma, x.ndim)
        return Frame(seen, 1000 * sigma / (1 + sigma), seen, self.out(sigma, x.ndim))

    def out(self, sigma: Tensor, rank: int) -> Tensor:
        """See Parametrisation."""
        return to_rank(-sigma / (1 + sigma), rank)


def denoised(network: Network, x: Tensor, sigma: Tensor, condition: Condition, form: Parametrisation) -> Tensor:
    """D(x; sigma, condition) = base + out F(seen; noise, condition).

    The arithmetic around the network is float32 (float64 stays), also under autocast.

    Args:
        network: F.
        x: (B, C, *spatial).
        sigma: (B,), in units of the data.
        condition: of the batch.
        form: the network's parametrisation.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        frame = form.frame(x, sigma.to(x))
    answer = network(frame.seen, frame.noise, condition)
    return frame.base + frame.out * answer.to(x.dtype)
