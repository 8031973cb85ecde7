"""ConvNeXt and ConvNeXt V2 (Liu et al., CVPR 2022; Woo et al., CVPR 2023) of timm.

DINOv3's ConvNeXts are of this family, too.
"""

from collections.abc import Iterable

from mmseg.registry import MODELS
from timm.layers import LayerNorm2d
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.timm.timm_backbone import TimmBackbone
from mmseg_uvpt.ops.tokens import Size, as_map, as_tokens


@MODELS.register_module()
class TimmConvNeXt(TimmBackbone):
    """A ConvNeXt of timm, which computes maps.

    Args:
        model: timm's name of it.
        stage_norms: whether each feature map is normalised, as segmentors of the paper have it;
            timm's model, and so its files, lack these norms.
        **kwargs: of `TimmBackbone`.
    """

    kinds = (ConvNeXt,)
    channels_first = True
    output_norms = ('stage_norms.',)

    def __init__(self, model: str, stage_norms: bool = False, **kwargs):
        super().__init__(model, **kwargs)
        norms = map(LayerNorm2d, self.widths) if stage_norms else ()
        self.stage_norms = nn.ModuleList(norms)

    def enter(self, stage: int, x: Tensor) -> tuple[Tensor, Size]:
        x = self.net.stages[stage].downsample(x if stage else self.net.stem(x))
        return as_tokens(x), (x.shape[2], x.shape[3])

    def layers(self, stage: int) -> Iterable[nn.Module]:
        return self.net.stages[stage].blocks

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        return as_tokens(self.layers(stage)(as_map(tokens, size)))

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        feature = as_map(tokens, size)
        if self.stage_norms:
            return self.stage_norms[stage](feature), feature
        last = stage == len(self.widths) - 1
        return self.net.norm_pre(feature) if last else feature, feature
