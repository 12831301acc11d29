"""The denoising network: MONAI's DiffusionModelUNet behind one signature for 2D and 3D."""

from collections.abc import Sequence

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor, nn

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.recorded import Recorded


class UNet(Recorded, nn.Module):
    """F(seen, noise, condition): (B, views C, *spatial) -> (B, C, *spatial); x is the first C channels of seen.

    The UNet puts out two values a latent entry, a and g, and F = a + g x: a learnt shrinkage, as wavelet
    denoising does by rule (Donoho and Johnstone 1994). Without it the noise of every entry
    would have to pass through the features of the first level, which a wavelet's bands
    outnumber.

    Args:
        rank: number of spatial axes, 2 or 3.
        channels: C of the latent.
        views: how many times C it sees: 1, or 2 with what a Gaussian expects behind the noise.
        vector: width V of Condition.vector, 0 for none.
        spatial: channels S of Condition.spatial, 0 for none.
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
        self.channels, self.vector, self.spatial = channels, vector, spatial
        self.unet = DiffusionModelUNet(
            spatial_dims=rank,
            in_channels=views * channels + spatial,
            out_channels=2 * channels,
            num_res_blocks=res_blocks,
            channels=tuple(features),
            attention_levels=wanted,
            norm_num_groups=norm_groups,
            num_head_channels=head_channels,
            num_class_embeds=1 if vector else None,
            use_flash_attention=True,
        )
        if vector:
            # MONAI embeds one class index; a vector of any meaning is embedded linearly instead.
            self.unet.class_embedding = nn.Linear(vector, features[0] * 4, bias=False)
        if rank == 3:  # a tenth of a training step faster on a CPU
            self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, seen: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """seen: (B, views C, *spatial), noise: (B,), as a sinusoidal embedding for 0 ... 1000 takes it."""
        if any(side % self.stride for side in seen.shape[2:]):
            sides = "x".join(map(str, seen.shape[2:]))
            raise MedsynthError(
                f"a latent of {sides} does not divide by {self.stride}, the network's stride: "
                "change data.resampling.size or give model.features fewer levels"
            )
        x = seen[:, : self.channels]
        if self.spatial:
            if condition.spatial is None:
                raise MedsynthError("this network needs a spatial condition")
            seen = torch.cat([seen, condition.spatial.to(seen.dtype)], dim=1)
        output: Tensor = self.unet(seen, noise.float(), class_labels=condition.vector)
        shift, gain = output.chunk(2, dim=1)
        return shift + gain * x
