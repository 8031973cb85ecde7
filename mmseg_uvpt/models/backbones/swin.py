"""Swin Transformer (Liu et al., ICCV 2021) as a staged backbone, on mmseg's."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from mmseg.models.backbones.swin import ShiftWindowMSA, SwinTransformer, WindowMSA
from mmseg.models.utils.embed import AdaptivePadding
from mmseg.registry import MODELS
from timm.layers import trunc_normal_
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.ops.tokens import Size, as_map

APART = -100.0  # added to the logit of two pixels that only the shift has brought together


class ShiftedWindows(ShiftWindowMSA):
    """mmseg's attention within windows (section 3.2), also for sizes that an export leaves open."""

    def forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Return tokens (B, height * width, C) of a map of ``size``, attended."""
        side, shift = self.window_size, self.shift_size
        rows, columns = (-(-length // side) for length in size)
        x = tokens.unflatten(1, size)
        x = F.pad(x, (0, 0, 0, columns * side - size[1], 0, rows * side - size[0]))
        x = x.roll((-shift, -shift), (1, 2))
        windows = x.unflatten(2, (columns, side)).unflatten(1, (rows, side)).transpose(2, 3)
        grid = windows.shape  # (B, rows, columns, side, side, C)
        mask = self.mask(rows, columns, x.device) if shift else None
        windows = self.w_msa(windows.reshape(-1, side**2, grid[5]), mask)
        x = windows.view(grid).transpose(2, 3).reshape(x.shape)
        for dim, length in enumerate(size, start=1):  # a slice would be a view or not
            places = torch.arange(x.shape[dim], device=x.device).roll(shift)[:length]
            x = x.index_select(dim, places)
        return self.drop(x.flatten(1, 2))

    def mask(self, rows: int, columns: int, device: torch.device) -> Tensor:
        """Return 0 or `APART` for each pair of pixels of each window: (rows * columns, N, N)."""
        beyond = torch.arange(self.window_size, device=device) >= self.window_size - self.shift_size
        in_row, in_column = (
            (torch.arange(count, device=device) == count - 1)[:, None] & beyond
            for count in (rows, columns)
        )
        pieces = 2 * in_row[:, None, :, None] + in_column[:, None]
        pieces = pieces.flatten(2).flatten(0, 1)
        return torch.where(pieces[:, None] != pieces[:, :, None], APART, 0.0)


class CornerPadding(AdaptivePadding):
    """mmseg's padding at the bottom and on the right, also for sizes that an export leaves open."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad maps (B, C, height, width) to whole strides; no kernel is smaller than its stride."""
        sides = zip(x.shape[2:], self.stride, self.kernel_size, strict=True)
        rows, columns = (-(-n // step) * step - n + kernel - step for n, step, kernel in sides)
        return F.pad(x, (0, columns, 0, rows))


# arguments of mmseg's that have no other value here
FIXED = {
    **{'in_channels': 3, 'patch_size': 4, 'strides': (4, 2, 2, 2)},
    **{'out_indices': (0, 1, 2, 3), 'use_abs_pos_embed': False},
}


@MODELS.register_module()
class StagedSwin(StagedBackbone, SwinTransformer):
    """Swin Transformer, stage by stage; the parameter names are mmseg's.

    Args:
        embed_dims: width of the first stage; each next one is twice as wide.
        depths: blocks a stage.
        num_heads: attention heads a stage.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        **kwargs: passed to `mmseg.models.backbones.SwinTransformer`, but for those of `FIXED`.

    Raises:
        ValueError: an argument of `FIXED` has another value.
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
        for name, value in FIXED.items():
            if kwargs.get(name, value) != value:
                raise ValueError(f'{name}={kwargs[name]!r}: StagedSwin has {value!r}')
        sizes = {'embed_dims': embed_dims, 'depths': depths, 'num_heads': num_heads}
        super().__init__(**sizes, drop_path_rate=drop_path_rate, **kwargs)
        self.widths = tuple(self.num_features)
        self.drop_path_rate = drop_path_rate
        self.output_norms = tuple(f'norm{i}.' for i in range(len(self.widths)))
        for module in [*self.modules()]:
            if old := getattr(module, 'adap_padding', None):
                module.adap_padding = CornerPadding(old.kernel_size, old.stride)
        for block in (block for stage in self.stages for block in stage.blocks):
            plain, inner = block.attn, block.attn.w_msa
            block.attn = ShiftedWindows(
                *(inner.embed_dims, inner.num_heads, plain.window_size, plain.shift_size),
                *(inner.qkv.bias is not None, inner.scale, inner.attn_drop.p, inner.proj_drop.p),
                dropout_layer={'type': 'DropPath', 'drop_prob': plain.drop.drop_prob},
            )

    def init_random(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, WindowMSA):
                trunc_normal_(module.relative_position_bias_table, std=0.02)

    def enter(self, stage: int, x: Tensor | tuple[Tensor, Size]) -> tuple[Tensor, Size]:
        if stage:
            return self.stages[stage - 1].downsample(*x)
        tokens, size = self.patch_embed(x)
        return self.drop_after_pos(tokens), size

    def layers(self, stage: int) -> Iterable[nn.Module]:
        return self.stages[stage].blocks

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        for block in self.layers(stage):
            tokens = block(tokens, size)
        return tokens

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, tuple[Tensor, Size]]:
        # the next stage merges the tokens as they are before this norm
        normalised = getattr(self, f'norm{stage}')(tokens)
        return as_map(normalised, size), (tokens, size)
