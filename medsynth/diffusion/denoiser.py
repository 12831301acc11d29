"""Denoisers D(x; sigma, condition) in sigma space, and what they are asked.

Every parametrisation is brought to this one form, so every sampler works with every
model. x = y + sigma * n with y the data and n white noise.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

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
        """x: (B, C, *spatial), sigma: (B,), on the CPU or where x is -> (B, C, *spatial), float32 or wider."""


Network = Callable[[Tensor, Tensor, Condition], Tensor]
"""F(seen, noise, condition): (B, C or more, *spatial), (B,) -> (B, C, *spatial)."""


class Prior(Protocol):
    """What is known of the data before a network learns: its best denoiser and how wrong that is."""

    def mean(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[y | x = y + sigma n]: (B, C, *spatial), (B,) -> (B, C, *spatial)."""

    def std(self, sigma: Tensor, rank: int) -> Tensor:
        """Root mean square error of `mean` in each channel: (B,) -> (B, C, 1, ...) of `rank` axes."""


def to_rank(values: Tensor, rank: int) -> Tensor:
    """Append axes of size 1 until `values` has `rank` axes."""
    return values.reshape(*values.shape, *(1,) * (rank - values.ndim))
