"""Cross-attention to the tokens of a condition, of which rows of zeros are padding."""

from monai.networks.blocks import CrossAttentionBlock
from monai.networks.nets.diffusion_model_unet import DiffusionUNetTransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F


class TokenAttention(CrossAttentionBlock):
    """Cross-attention (Vaswani et al. 2017, section 3.2) to tokens, and to one row of zeros that is always there.

    MONAI's own, without biases, gives each row of zeros a share of the softmax, so a sentence
    would mean less the more it is padded. Here the rows of zeros of a condition take no part: how far it is
    padded does not change the answer. The one row that is always there (key and value 0) is what
    a null attends to, and lets even a single token be heard more or less.
    """

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x: (B, N, C), context: (B, T, E), T may be 0 -> (B, N, C)."""
        rows = F.pad(context, (0, 0, 1, 0))
        heard = F.pad(context.ne(0).any(dim=-1), (1, 0), value=True)
        query, key, value = map(self.input_rearrange, (self.to_q(x), self.to_k(rows), self.to_v(rows)))
        answer = F.scaled_dot_product_attention(
            query, key, value, attn_mask=heard[:, None, None], scale=self.scale
        )  # (B, heads, N, C / heads)
        attended: Tensor = self.out_proj(self.out_rearrange(answer))
        return attended


def attend_to_tokens(network: nn.Module) -> None:
    """Put TokenAttention where MONAI's transformer blocks have their own cross-attention; its weights are new."""
    for block in list(network.modules()):
        if isinstance(block, DiffusionUNetTransformerBlock):
            old = block.attn2
            block.attn2 = TokenAttention(
                hidden_size=old.num_heads * old.head_dim,
                num_heads=old.num_heads,
                dim_head=old.head_dim,
                hidden_input_size=old.hidden_input_size,
                context_input_size=old.context_input_size,
            )
