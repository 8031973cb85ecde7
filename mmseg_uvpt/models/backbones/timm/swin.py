"""Swin Transformer and Swin Transformer V2 (Liu et al., ICCV 2021 and CVPR 2022) of timm."""

from collections.abc import Iterable
from typing import ClassVar

from mmseg.registry import MODELS
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.timm.timm_backbone import TimmBackbone
from mmseg_uvpt.ops.resizing import padded
from mmseg_uvpt.ops.tokens import Size, as_map


@MODELS.register_module()
class TimmSwin(TimmBackbone):
    """A Swin of timm. What timm computes is (B, height, width, C); the last stage has a norm."""

    kinds = (SwinTransformer, SwinTransformerV2)
    fixed: ClassVar[dict] = {'strict_img_size': False}

    def enter(self, stage: int, x: Tensor) -> tuple[Tensor, Size]:
        if stage:
            x = self.net.layers[stage].downsample(x)
        else:
            x = self.net.patch_embed(padded(x, self.net.patch_embed.patch_size[0]))
        return x.flatten(1, 2), (x.shape[1], x.shape[2])

    def layers(self, stage: int) -> Iterable[nn.Module]:
        return self.net.layers[stage].blocks

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        x = tokens.unflatten(1, size)
        for layer in self.layers(stage):
            x = layer(x)
        return x.flatten(1, 2)

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        last = stage == len(self.widths) - 1
        feature = self.net.norm(tokens) if last else tokens
        return as_map(feature, size), tokens.unflatten(1, size)
