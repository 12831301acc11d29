"""Denoisers D(x; sigma, condition) in sigma space, and the EDM preconditioning of a network.

Every parametrisation is brought to this one form, so every sampler works with every
model. x = y + sigma * n with y the data and n white noise.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Condition(NamedTuple):
    """What a sample is asked to be; each part is None when nothing is asked that way.

    Args:
        vector: (B, V), added to the noise level's embedding.
        tokens: (B, T, E), attended to.
        spatial: (B, S, *spatial), concatenated to the input.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    spatial: Tensor | None = None


class Denoiser(Protocol):
    """D(x; sigma, condition): the expected data given x = y + sigma n."""

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """x: (B, C, *spatial), sigma: (B,) -> (B, C, *spatial), float32 or wider."""


Network = Callable[[Tensor, Tensor, Condition], Tensor]
"""F(c_in x, c_noise, condition): (B, C, *spatial), (B,) -> (B, C, *spatial)."""


class Scalings(NamedTuple):
    """Factors of EDM's preconditioning; c_noise is (B,), the others broadcast to x."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def to_rank(values: Tensor, rank: int) -> Tensor:
    """Append axes of size 1 until `values` has `rank` axes."""
    return values.reshape(*values.shape, *(1,) * (rank - values.ndim))


def edm_scalings(sigma: Tensor, sigma_data: Tensor, rank: int) -> Scalings:
    """EDM preconditioning (Karras et al. 2022, Table 1), per channel.

    Args:
        sigma: (B,), in units of the data.
        sigma_data: (C,), the data's standard deviation, channel by channel: each band of
            a wavelet is scaled with its own.
        rank: number of axes of x, batch and channel included.
    """
    level = to_rank(sigma, rank)
    data = to_rank(sigma_data[None], rank)
    total = level**2 + data**2
    return Scalings(
        c_skip=data**2 / total,
        c_out=level * data / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=sigma.log() / 4,
    )


def edm_denoise(network: Network, x: Tensor, sigma: Tensor, condition: Condition, sigma_data: Tensor) -> Tensor:
    """D(x; sigma) = c_skip x + c_out F(c_in x; c_noise) (Karras et al. 2022, eq. 7).

    The arithmetic around the network is float32 (float64 stays), also under autocast.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        scalings = edm_scalings(sigma.to(x.dtype), sigma_data.to(x.dtype), x.ndim)
    output = network(scalings.c_in * x, scalings.c_noise, condition)
    return scalings.c_skip * x + scalings.c_out * output.to(x.dtype)


def edm_weight(sigma: Tensor, sigma_data: Tensor, rank: int) -> Tensor:
    """Loss weight lambda(sigma) = 1 / c_out^2 (Karras et al. 2022, Table 1), broadcast to x."""
    return edm_scalings(sigma, sigma_data, rank).c_out ** -2
