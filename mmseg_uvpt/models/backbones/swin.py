"""Swin Transformer (Liu et al., ICCV 2021) as a staged backbone, on mmseg's."""

from mmseg.models.backbones.swin import SwinTransformer, WindowMSA
from mmseg.registry import MODELS
from timm.layers import trunc_normal_
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.ops.sizes import Size
from mmseg_uvpt.ops.tokens import as_map


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

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        for block in self.stages[stage].blocks:
            tokens = block(tokens, size)
        return tokens

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, tuple[Tensor, Size]]:
        # the next stage merges the tokens as they are before this norm
        normalised = getattr(self, f'norm{stage}')(tokens)
        return as_map(normalised, size), (tokens, size)
