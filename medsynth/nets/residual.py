"""What generator and discriminator of a GAN are made of: residual blocks without normalisation, and resampling."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from medsynth.errors import MedsynthError

_SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + _SLOPE**2))
"""Standard deviation that a leaky rectifier of slope 0.2 takes from its input (He et al. 2015)."""
_CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


def convolution(
    rank: int, inputs: int, outputs: int, *, size: int = 1, groups: int = 1, gain: float = 1.0
) -> nn.Conv2d | nn.Conv3d:
    """A convolution without bias whose weights begin with variance gain^2 / fan-in; gain 0 begins at nothing.

    Raises:
        MedsynthError: neither 2 nor 3 axes.
    """
    if rank not in _CONVOLUTIONS:
        raise MedsynthError(f"a network of {rank} axes is not known; there are 2 and 3")
    made: nn.Conv2d | nn.Conv3d = _CONVOLUTIONS[rank](
        inputs, outputs, size, padding=size // 2, groups=groups, bias=False
    )
    nn.init.normal_(made.weight, std=gain / math.sqrt(made.weight[0].numel()))
    return made


def linear(inputs: int, outputs: int, *, gain: float = 1.0, bias: bool = False) -> nn.Linear:
    """A linear layer that begins as `convolution` does; its bias at 0."""
    made = nn.Linear(inputs, outputs, bias=bias)
    nn.init.normal_(made.weight, std=gain / math.sqrt(max(inputs, 1)))
    if bias:
        nn.init.zeros_(made.bias)
    return made


class Block(nn.Module):
    """x + f(x), f three convolutions (1, 3, 1 voxels a side; the middle one in groups) with two leaky rectifiers.

    The last begins at 0 and the others are scaled down by the depth, so that the whole network begins as the identity
    and needs no normalisation (Zhang et al. 2019, Fixup).

    Args:
        rank: 2 or 3.
        features: channels.
        group_width: channels that the middle convolution mixes; it works on `expansion * features`.
        expansion: how many times the channels inside.
        depth: blocks of the whole network.
    """

    def __init__(self, rank: int, features: int, group_width: int, expansion: int, depth: int) -> None:
        super().__init__()
        inner, gain = features * expansion, GAIN * depth**-0.25
        self.expand = convolution(rank, features, inner, gain=gain)
        self.mix = convolution(rank, inner, inner, size=3, groups=inner // group_width, gain=gain)
        self.contract = convolution(rank, inner, features, gain=0)
        self.biases = nn.ParameterList([nn.Parameter(self.mix.weight.new_zeros(inner)) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, *spatial), as it came."""
        first, second = (bias.reshape(-1, *(1,) * (x.ndim - 2)) for bias in self.biases)
        inner = F.leaky_relu(self.expand(x) + first, _SLOPE)
        inner = F.leaky_relu(self.mix(inner) + second, _SLOPE)
        return x + self.contract(inner)  # type: ignore[no-any-return]


def resampled(x: Tensor, grid: Sequence[int]) -> Tensor:
    """(B, C, *spatial) brought to another grid of the same extent, linearly between voxels' centres.

    From a side to half of it that is the mean of two voxels.
    """
    if tuple(x.shape[2:]) == tuple(grid):
        return x
    return F.interpolate(x, size=tuple(grid), mode=_LINEAR[x.ndim - 2], align_corners=False)


def pyramid(grid: Sequence[int], levels: int) -> list[tuple[int, ...]]:
    """Grids of a network's levels, finest first, each half of the one before, odd sides rounded up.

    >>> pyramid((16, 24, 15), 3)
    [(16, 24, 15), (8, 12, 8), (4, 6, 4)]
    """
    sides = [tuple(grid)]
    for _ in range(levels - 1):
        sides.append(tuple(-(-side // 2) for side in sides[-1]))
    return sides


def check_widths(name: str, features: Sequence[int], blocks: int, group_width: int, expansion: int) -> None:
    """Refuse settings of a network that do not fit each other.

    Raises:
        MedsynthError: so; its line begins with `name`.
    """
    if not features or min(blocks, group_width, expansion, *features) < 1:
        raise MedsynthError(f"{name}: features, blocks, group_width and expansion are at least 1")
    if any(width * expansion % group_width for width in features):
        raise MedsynthError(
            f"{name}.group_width={group_width} must divide {expansion} times every entry of "
            f"{name}.features={list(features)}"
        )
