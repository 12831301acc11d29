"""The denoising network: MONAI's DiffusionModelUNet behind one signature for 2D and 3D."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor, nn

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.recorded import Recorded
from medsynth.nets.tokens import attend_to_tokens


class Told(NamedTuple):
    """What MONAI's network is given.

    Args:
        grid: (B, views C + S, *spatial).
        vector: (B, V); None for a network without.
        tokens: (B, T, E); None for a network without.
    """

    grid: Tensor
    vector: Tensor | None
    tokens: Tensor | None


class UNet(Recorded, nn.Module):
    """F(seen, noise, condition): (B, views C, *spatial) -> (B, C, *spatial); x is the first C channels of seen.

    The UNet puts out two values a latent entry, a and g, and F = a + g x: a learnt shrinkage, as wavelet
    denoising does by rule (Donoho and Johnstone 1994). Without it the noise of every entry
    would have to pass through the features of the first level, which a wavelet's bands
    outnumber.

    A part of the condition that is None is its null: zeros. Rows of zeros among the tokens are
    padding and change nothing, so a sentence means the same however far it is padded.

    Args:
        rank: number of spatial axes, 2 or 3.
        channels: C of the latent.
        views: how many times C it sees: 1, or 2 with what a Gaussian expects behind the noise.
        vector: width V of Condition.vector, 0 for none.
        spatial: channels S of Condition.spatial, 0 for none.
        tokens: width E of Condition.tokens, 0 for none. With tokens every self-attention becomes a transformer
            block (self-attention, cross-attention to the tokens, feed-forward; Rombach et al. 2022).
        features: channels of each level; each level after the first halves the grid.
        res_blocks: residual blocks a level.
        attention: levels with self-attention; the middle always has it.
        head_channels: channels of an attention head.
        norm_groups: groups of GroupNorm; divides every entry of `features`.

    Raises:
        MedsynthError: sizes that do not fit each other.
    """

    def __init__(
        self,
        rank: int,
        channels: int,
        views: int = 1,
        vector: int = 0,
        spatial: int = 0,
        tokens: int = 0,
        features: Sequence[int] = (32, 64, 128),
        res_blocks: int = 1,
        attention: Sequence[bool] | None = None,
        head_channels: int = 32,
        norm_groups: int = 8,
    ) -> None:
        super().__init__()
        levels = len(features)
        wanted = tuple(attention) if attention is not None else (False,) * levels
        if len(wanted) != levels:
            raise MedsynthError("model: attention has one entry a level of features")
        if min(norm_groups, head_channels, res_blocks, levels, *features) < 1:
            raise MedsynthError("model: features, res_blocks, norm_groups and head_channels are at least 1")
        if any(width % norm_groups or width % head_channels for width in features):
            raise MedsynthError(
                f"model.norm_groups={norm_groups} and model.head_channels={head_channels} must divide every entry of "
                f"model.features={list(features)}; set them to a common divisor"
            )
        self.stride = 2 ** (levels - 1)
        self.channels, self.vector, self.spatial, self.tokens = channels, vector, spatial, tokens
        self.unet = DiffusionModelUNet(
            spatial_dims=rank,
            in_channels=views * channels + spatial,
            out_channels=2 * channels,
            num_res_blocks=res_blocks,
            channels=tuple(features),
            attention_levels=wanted,
            norm_num_groups=norm_groups,
            num_head_channels=head_channels,
            with_conditioning=bool(tokens),
            cross_attention_dim=tokens or None,
            num_class_embeds=1 if vector else None,
            use_flash_attention=True,
        )
        listen(self.unet, vector, features[0] * 4)
        if rank == 3:  # a tenth of a training step faster on a CPU
            self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, seen: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """seen: (B, views C, *spatial), noise: (B,), as a sinusoidal embedding for 0 ... 1000 takes it.

        Raises:
            MedsynthError: sides that do not divide by the stride, a condition of other widths.
        """
        return self.answer(self.told(seen, condition), noise)

    def told(self, seen: Tensor, condition: Condition) -> Told:
        """What the network is given, every part that is None as its null.

        Raises:
            MedsynthError: see `forward`.
        """
        if any(side % self.stride for side in seen.shape[2:]):
            sides = "x".join(map(str, seen.shape[2:]))
            raise MedsynthError(
                f"a latent of {sides} does not divide by {self.stride}, the network's stride: "
                "change data.resampling.size or give model.features fewer levels"
            )
        batch, length = len(seen), 1 if condition.tokens is None else condition.tokens.shape[1]
        spatial = part_of(condition, "spatial", self.spatial, (batch, self.spatial, *seen.shape[2:]), seen)
        return Told(
            grid=seen if spatial is None else torch.cat([seen, spatial], dim=1),
            vector=part_of(condition, "vector", self.vector, (batch, self.vector), seen),
            tokens=part_of(condition, "tokens", self.tokens, (batch, length, self.tokens), seen),
        )

    def answer(
        self, told: Told, noise: Tensor, skips: Sequence[Tensor] | None = None, middle: Tensor | None = None
    ) -> Tensor:
        """F for what `told` made, with terms added to the skip connections and behind the middle block.

        Args:
            told: the network's input.
            noise: (B,).
            skips: a term for each skip connection, in the encoder's order; None adds nothing.
            middle: the term for the middle; None adds nothing.

        Returns:
            (B, C, *spatial).
        """
        output: Tensor = self.unet(
            told.grid,
            noise.float(),
            context=told.tokens,
            class_labels=told.vector,
            down_block_additional_residuals=skips,
            mid_block_additional_residual=middle,
        )
        shift, gain = output.chunk(2, dim=1)
        return shift + gain * told.grid[:, : self.channels]


def part_of(condition: Condition, name: str, width: int, shape: tuple[int, ...], seen: Tensor) -> Tensor | None:
    """A part of the condition, in the type and place of `seen`; zeros, its null, where it is None.

    Args:
        condition: what the network is told.
        name: of the part.
        width: channels that the network takes; with 0 it takes none, and None is returned.
        shape: of the part that fits.
        seen: the network's input.

    Raises:
        MedsynthError: a part of another shape, or one for a network without.
    """
    part: Tensor | None = getattr(condition, name)
    if part is None:
        return seen.new_zeros(shape) if width else None
    if not width or part.shape != shape:
        takes = list(shape) if width else "none"
        raise MedsynthError(
            f"a {name} condition of shape {list(part.shape)}, but this network takes {takes}: "
            "give what the run was trained with"
        )
    return part.to(seen)


def listen(network: nn.Module, vector: int, width: int) -> None:
    """Make a network of MONAI's hear a condition's vector of any meaning, and its tokens whatever their padding.

    Args:
        network: DiffusionModelUNet or ControlNet.
        vector: width V of Condition.vector, 0 for none.
        width: of the noise level's embedding.
    """
    if vector:
        # MONAI embeds one class index; a vector of any meaning is embedded linearly instead.
        network.class_embedding = nn.Linear(vector, width, bias=False)
    attend_to_tokens(network)
