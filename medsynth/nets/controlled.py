"""ControlNet: a finished network, frozen, that learns to follow a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.networks.nets import ControlNet
from torch import Tensor

from medsynth.diffusion.denoiser import Condition
from medsynth.errors import MedsynthError
from medsynth.nets.unet import UNet, listen, part_of


class Controlled(UNet):
    """A frozen UNet, the base, steered by a trained copy of its encoder (Zhang et al. 2023).

    The copy sees what the base sees and `control` channels more of Condition.spatial, and adds to the
    base's skip connections and middle through 1x1 convolutions that begin at zero: before the first
    step the answer is the base's, bit for bit.

    The copy is MONAI's ControlNet. Its embedding of the control halves the grid three times unless told
    otherwise; here it is one 3x3 convolution and one that begins at zero, as the control has the
    latent's grid already. No layer of either behaves otherwise in training than in evaluation.

    A base that was never trained says nothing that could be steered: call `start_from`.

    Args:
        rank, channels, views, vector, spatial, tokens, features, res_blocks, attention, head_channels, norm_groups:
            of the base, see UNet. Of Condition.spatial the base sees the first `spatial` channels.
        control: channels of Condition.spatial after those, for the copy; None or zeros is the null.

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
        control: int = 1,
    ) -> None:
        if control < 1:
            raise MedsynthError("model: a controlled network needs a spatial condition of one channel or more")
        super().__init__(
            rank,
            channels,
            views=views,
            vector=vector,
            spatial=spatial,
            tokens=tokens,
            features=features,
            res_blocks=res_blocks,
            attention=attention,
            head_channels=head_channels,
            norm_groups=norm_groups,
        )
        self.unet.requires_grad_(False)
        self.control = control
        unet = self.unet
        self.branch = ControlNet(
            spatial_dims=rank,
            in_channels=unet.in_channels,
            channels=unet.block_out_channels,
            num_res_blocks=unet.num_res_blocks,
            attention_levels=unet.attention_levels,
            norm_num_groups=norm_groups,
            num_head_channels=head_channels,
            with_conditioning=bool(tokens),
            cross_attention_dim=tokens or None,
            num_class_embeds=1 if vector else None,
            conditioning_embedding_in_channels=control,
            conditioning_embedding_num_channels=unet.block_out_channels[:1],
            use_flash_attention=True,
        )
        listen(self.branch, vector, features[0] * 4)
        if rank == 3:
            self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._copy_encoder()

    def forward(self, seen: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """seen: (B, views C, *spatial), noise: (B,), see UNet; Condition.spatial: (B, spatial + control, *spatial).

        Raises:
            MedsynthError: see UNet.
        """
        width = self.spatial + self.control
        picture = part_of(condition, "spatial", width, (len(seen), width, *seen.shape[2:]), seen)
        assert picture is not None
        own = picture[:, : self.spatial] if self.spatial else None
        told = self.told(seen, condition._replace(spatial=own))
        skips, middle = self.branch(
            told.grid, noise.float(), picture[:, self.spatial :], context=told.tokens, class_labels=told.vector
        )
        return self.answer(told, noise, skips, middle)

    def start_from(self, state: Mapping[str, Any]) -> None:
        """Take the weights of a finished UNet of the same settings, into the base and into the copy of its encoder.

        Args:
            state: its state_dict().

        Raises:
            MedsynthError: another network's; nothing is changed.
        """
        own = {name: weight for name, weight in self.state_dict().items() if name.startswith("unet.")}
        wrong = sorted(
            name for name in own.keys() | state.keys() if name not in own or _shape(state.get(name)) != own[name].shape
        )
        if wrong:
            raise MedsynthError(
                f"init_from: that run's network is not the one to be controlled, {len(wrong)} of its weights differ "
                f"({wrong[0]} first); give model the run's own settings, and the same data, conditions and autoencoder"
            )
        self.load_state_dict(state, strict=False)
        self._copy_encoder()

    @torch.no_grad()
    def _copy_encoder(self) -> None:
        """The base's weights into the branch, where both have them."""
        base = dict(self.unet.named_parameters())
        for name, weight in self.branch.named_parameters():
            if name in base:
                weight.copy_(base[name])


def _shape(weight: Any) -> torch.Size | None:
    return weight.shape if isinstance(weight, Tensor) else None
