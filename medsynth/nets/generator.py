"""The generator of a GAN: from white noise to a latent in one pass."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.recorded import Recorded
from medsynth.nets.residual import Block, check_widths, convolution, linear, pyramid, resampled


class Generator(Recorded, nn.Module):
    """G(noise, condition): (B, noise) -> (B, C, *grid); R3GAN's (Huang et al. 2024, section 4) for any rank and grid.

    A learnt picture on the coarsest grid, its channels scaled by a linear map of the noise, passes residual blocks and
    is made twice as fine, level by level. There is no normalisation, no noise inside and no mapping of the noise.

    Args:
        rank: number of spatial axes, 2 or 3.
        channels: C of the latent.
        grid: of the latent; sides need not divide by anything.
        vector: width V of Condition.vector, 0 for none; None in its place is its null, zeros.
        noise: numbers that a sample is made from.
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
        noise: int = 64,
        features: Sequence[int] = (64, 128, 128),
        blocks: int = 2,
        group_width: int = 16,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        check_widths("model", features, blocks, group_width, expansion)
        if noise < 1 or len(grid) != rank or min(grid) < 1:
            raise MedsynthError("model: noise is at least 1, and the grid has one side for each axis, each 1 or more")
        self.channels, self.vector, self.noise, self.grid = channels, vector, noise, tuple(grid)
        self.grids = pyramid(grid, len(features))[::-1]
        coarse_first = list(features)[::-1]
        self.embed = linear(vector, noise) if vector else None
        self.picture = nn.Parameter(torch.randn(coarse_first[0], *self.grids[0]))
        self.scale = linear(noise * (2 if vector else 1), coarse_first[0])
        depth = blocks * len(features)
        self.widen = nn.ModuleList(
            nn.Identity() if before == width else convolution(rank, before, width)
            for before, width in zip([coarse_first[0], *coarse_first], coarse_first, strict=False)
        )
        self.levels = nn.ModuleList(
            nn.Sequential(*[Block(rank, width, group_width, expansion, depth) for _ in range(blocks)])
            for width in coarse_first
        )
        self.finish = convolution(rank, coarse_first[-1], channels)

    def forward(self, noise: Tensor, condition: Condition) -> Tensor:
        """noise: (B, noise), white -> (B, C, *grid), about 1 in each channel."""
        told = noise
        if self.embed is not None:
            vector = condition.vector
            embedded = noise.new_zeros(noise.shape) if vector is None else self.embed(vector.to(noise.dtype))
            told = torch.cat([noise, embedded], dim=1)
        gains = self.scale(told)
        x = self.picture[None] * gains.reshape(*gains.shape, *(1,) * len(self.grid))
        for grid, widen, level in zip(self.grids, self.widen, self.levels, strict=True):
            x = level(resampled(widen(x), grid))
        return self.finish(x)  # type: ignore[no-any-return]
