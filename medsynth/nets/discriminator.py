"""The discriminator of a GAN: how real a latent looks, one number a sample."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.recorded import Recorded
from medsynth.nets.residual import Block, check_widths, convolution, linear, pyramid, resampled


class Discriminator(Recorded, nn.Module):
    """D(x, condition): (B, C, *grid) -> (B,); the generator's mirror (Huang et al. 2024, section 4).

    Residual blocks and a halving, level by level; on the coarsest grid every channel is summed with weights of its own
    for each place, and the sums meet a linear map of the condition (Miyato and Koyama 2018), which begins with 1, so
    that a null condition is judged too. No normalisation and no statistics of the batch: a gradient penalty needs every
    sample's number to be its own.

    Args:
        rank: number of spatial axes, 2 or 3.
        channels: C of the latent.
        grid: of the latent.
        vector: width V of Condition.vector, 0 for none; None in its place is its null, zeros.
        features: channels of each level, the finest first; each level after the first halves the grid.
        blocks: residual blocks a level.
        group_width: channels that the convolutions of 3 voxels mix.
        expansion: how many times `features` they work on.

    Raises:
        MedsynthError: sizes that do not fit each other.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        grid: Sequence[int],
        vector: int = 0,
        features: Sequence[int] = (64, 128, 128),
        blocks: int = 2,
        group_width: int = 16,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        check_widths("discriminator", features, blocks, group_width, expansion)
        if len(grid) != rank or min(grid) < 1:
            raise MedsynthError("discriminator: the grid has one side for each axis, each 1 or more")
        self.channels, self.vector, self.grid = channels, vector, tuple(grid)
        self.grids = pyramid(grid, len(features))
        depth = blocks * len(features)
        self.begin = convolution(rank, channels, features[0])
        self.levels = nn.ModuleList(
            nn.Sequential(*[Block(rank, width, group_width, expansion, depth) for _ in range(blocks)])
            for width in features
        )
        self.widen = nn.ModuleList(
            nn.Identity() if width == after else convolution(rank, width, after)
            for width, after in zip(features, [*features[1:], features[-1]], strict=True)
        )
        places = math.prod(self.grids[-1])
        self.weights = nn.Parameter(self.begin.weight.new_empty(features[-1], places).normal_(std=places**-0.5))
        self.judge = linear(features[-1], features[-1] if vector else 1)
        self.embed = linear(vector, features[-1], gain=features[-1] ** -0.5, bias=True) if vector else None
        if self.embed is not None:
            nn.init.normal_(self.embed.bias, std=features[-1] ** -0.5)

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """x: (B, C, *grid) -> (B,), float32; above that of another sample: more real."""
        x = self.begin(x)
        finer = [*self.grids[1:], self.grids[-1]]
        for level, widen, grid in zip(self.levels, self.widen, finer, strict=True):
            x = widen(resampled(level(x), grid))
        said: Tensor = self.judge((x.flatten(2) * self.weights).sum(-1))
        if self.embed is None:
            return said[:, 0].float()
        vector = condition.vector
        told = said.new_zeros(len(said), self.vector) if vector is None else vector.to(said.dtype)
        logits: Tensor = (said * self.embed(told)).sum(1)
        return logits.float()
