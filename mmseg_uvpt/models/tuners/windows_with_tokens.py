"""Attention within windows whose pixels also read tokens, for visual prompt tuning in Swin."""

import torch
import torch.nn.functional as F
from mmseg.models.backbones.swin import WindowMSA
from torch import Tensor


def keys_and_values(tokens: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
    """Put those of tokens before key and value (windows, heads, N, c) of pixels.

    Args:
        tokens: (count, 3 * heads * c), projected to queries, keys and values.
        key: of each window.
        value: of each window.

    Returns:
        list: key and value, (windows, heads, count + N, c).
    """
    firsts = tokens.unflatten(1, (3, key.shape[1], -1)).permute(1, 2, 0, 3)[1:]
    return [
        torch.cat([first.expand(len(x), -1, -1, -1), x], dim=2)
        for first, x in zip(firsts, (key, value), strict=True)
    ]


class WindowsWithTokens(WindowMSA):
    """mmseg's attention within windows, whose pixels read tokens, too, which have no position."""

    def __init__(self, plain: WindowMSA):
        bias = plain.qkv.bias is not None
        sizes = (plain.embed_dims, plain.num_heads, plain.window_size)
        super().__init__(*sizes, bias, plain.scale, plain.attn_drop.p, plain.proj_drop.p)
        self.load_state_dict(plain.state_dict())
        self.requires_grad_(False)

    def forward(self, windows: Tensor, mask: Tensor | None, tokens: Tensor) -> Tensor:
        """Return windows (windows, N, C) attended; ``mask`` (windows an image, N, N) is added.

        Tokens (count, C) are the same for all windows. No query is made of them, since nothing
        reads what they would become.
        """
        qkv = self.qkv(windows).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        key, value = keys_and_values(self.qkv(tokens.to(windows)), key, value)
        bias = self.relative_position_bias_table[self.relative_position_index]  # (N, N, heads)
        bias = bias.permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(len(windows) // len(mask), 1, 1, 1)
        bias = F.pad(bias, (len(tokens), 0)).to(query.dtype)
        dropout = self.attn_drop.p if self.training else 0.0
        x = F.scaled_dot_product_attention(query, key, value, bias, dropout, scale=self.scale)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))
