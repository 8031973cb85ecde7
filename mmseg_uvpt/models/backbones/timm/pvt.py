"""PVTv2 (Wang et al., CVMJ 2022) of timm."""

from collections.abc import Iterable

from mmseg.registry import MODELS
from timm.models.pvt_v2 import PyramidVisionTransformerV2
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.timm.timm_backbone import TimmBackbone
from mmseg_uvpt.ops.tokens import Size, as_map


@MODELS.register_module()
class TimmPVT(TimmBackbone):
    """A PVTv2 of timm, each of whose stages ends in a norm."""

    kinds = (PyramidVisionTransformerV2,)

    def enter(self, stage: int, x: Tensor) -> tuple[Tensor, Size]:
        x = (self.net.stages[stage].downsample if stage else self.net.patch_embed)(x)
        return x.flatten(1, 2), (x.shape[1], x.shape[2])  # of (B, height, width, C)

    def layers(self, stage: int) -> Iterable[nn.Module]:
        return self.net.stages[stage].blocks

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        for block in self.layers(stage):
            tokens = block(tokens, size)
        return tokens

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        feature = as_map(self.net.stages[stage].norm(tokens), size)
        return feature, feature
