"""Denoisers D(x; sigma, condition) in sigma space, and the preconditioning of a network.

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
"""F(seen, c_noise, condition): (B, 2 C, *spatial), (B,) -> (B, C, *spatial); see `preconditioned`."""


class Prior(Protocol):
    """What is known of the data before a network learns: its best denoiser and how wrong that is."""

    def mean(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[y | x = y + sigma n]: (B, C, *spatial), (B,) -> (B, C, *spatial)."""

    def std(self, sigma: Tensor, rank: int) -> Tensor:
        """Root mean square error of `mean` in each channel: (B,) -> (B, C, 1, ...) of `rank` axes."""


def to_rank(values: Tensor, rank: int) -> Tensor:
    """Append axes of size 1 until `values` has `rank` axes."""
    return values.reshape(*values.shape, *(1,) * (rank - values.ndim))


def preconditioned(
    network: Network, x: Tensor, sigma: Tensor, condition: Condition, prior: Prior, sigma_data: Tensor
) -> Tensor:
    """D(x; sigma) = E[y | x] + c_out F(c_in x, E[y | x] / s; c_noise), E and c_out by the prior.

    EDM's preconditioning (Karras et al. 2022, eq. 7 and Table 1), whose c_skip x and c_out
    are the mean and the standard deviation of white Gaussian data seen through noise, with
    any Gaussian in their place. c_in = 1 / sqrt(sigma^2 + s^2), c_noise = ln(sigma) / 4. The
    arithmetic around the network is float32 (float64 stays), also under autocast.

    Args:
        network: F; it sees both inputs as channels, (B, 2 C, *spatial).
        x: (B, C, *spatial).
        sigma: (B,), in units of the data.
        condition: of the batch.
        prior: Gaussian model of the data.
        sigma_data: s, (C,), the data's standard deviation, channel by channel: each band of
            a wavelet is scaled with its own.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        sigma = sigma.to(x.dtype)
        data = to_rank(sigma_data.to(x.dtype)[None], x.ndim)
        expected, c_out = prior.mean(x, sigma), prior.std(sigma, x.ndim)
        c_in = (to_rank(sigma, x.ndim).square() + data.square()).rsqrt()
        seen = torch.cat([c_in * x, expected / data], dim=1)
    output = network(seen, sigma.log() / 4, condition)
    return expected + c_out * output.to(x.dtype)
