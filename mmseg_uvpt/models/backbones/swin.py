"""Swin Transformer (Liu et al., ICCV 2021) as a staged backbone, on the parts of mmseg."""

import torch.nn.functional as F
from mmseg.models.backbones.swin import SwinTransformer, WindowMSA
from mmseg.registry import MODELS
from timm.layers import trunc_normal_
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.staged import Size, StagedBackbone, as_map


class FusedWindowAttention(WindowMSA):
    """Window attention through `scaled_dot_product_attention`; parameters as in mmseg."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend within each window.

        Args:
            x: (windows of all images, N, C), the windows of one image next to each other.
            mask: (windows of one image, N, N), 0 where a shifted window is one piece and -100
                between its pieces; None for unshifted windows.

        Returns:
            Tensor: same shape as ``x``.
        """
        windows, tokens, channels = x.shape
        qkv = self.qkv(x).view(windows, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        bias = bias.view(1, tokens, tokens, -1).permute(0, 3, 1, 2)
        if mask is not None:
            bias = (bias + mask.unsqueeze(1)).repeat(windows // len(mask), 1, 1, 1)
        query, key, value = qkv.unbind(0)
        x = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=bias.to(query.dtype),
            dropout_p=self.attn_drop.p if self.training else 0.0,
            scale=self.scale,
        )
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(windows, tokens, channels)))


@MODELS.register_module()
class StagedSwin(StagedBackbone, SwinTransformer):
    """Swin Transformer, stage by stage; the parameter names are mmseg's.

    Args:
        embed_dims: width of the first stage; each next one is twice as wide.
        depths: blocks a stage.
        num_heads: attention heads a stage.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        **kwargs: passed to `mmseg.models.backbones.SwinTransformer`.
    """

    classifier_parts = ('head.', 'norm.')

    def __init__(
        self,
        embed_dims: int = 128,
        depths: tuple[int, ...] = (2, 2, 18, 2),
        num_heads: tuple[int, ...] = (4, 8, 16, 32),
        drop_path_rate: float = 0.3,
        **kwargs,
    ):
        super().__init__(
            embed_dims=embed_dims,
            depths=depths,
            num_heads=num_heads,
            drop_path_rate=drop_path_rate,
            **kwargs,
        )
        self.widths = tuple(self.num_features)
        self.drop_path_rate = drop_path_rate
        self.output_norms = tuple(f'norm{i}.' for i in range(len(self.widths)))
        for stage in self.stages:
            for block in stage.blocks:
                plain = block.attn.w_msa
                block.attn.w_msa = FusedWindowAttention(
                    plain.embed_dims,
                    plain.num_heads,
                    plain.window_size,
                    qkv_bias=plain.qkv.bias is not None,
                    qk_scale=plain.scale,
                    attn_drop_rate=plain.attn_drop.p,
                    proj_drop_rate=plain.proj_drop.p,
                )

    def init_random(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, FusedWindowAttention):
                trunc_normal_(module.relative_position_bias_table, std=0.02)

    def enter(self, stage: int, x: Tensor | tuple[Tensor, Size]) -> tuple[Tensor, Size]:
        if stage:
            return self.stages[stage - 1].downsample(*x)
        tokens, size = self.patch_embed(x)
        return self.drop_after_pos(tokens), size

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        for block in self.stages[stage].blocks:
            tokens = block(tokens, size)
        return tokens

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, tuple[Tensor, Size]]:
        # the next stage merges the tokens as they are before this norm
        normalised = getattr(self, f'norm{stage}')(tokens)
        return as_map(normalised, size).contiguous(), (tokens, size)
