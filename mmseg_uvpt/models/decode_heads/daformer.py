"""The DAFormer decode head (Hoyer et al., CVPR 2022)."""

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.sep_aspp_head import DepthwiseSeparableASPPModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.ops.resizing import resized
from mmseg_uvpt.ops.tokens import as_map, as_tokens, map_view


class Embedding(nn.Module):
    """Linear layer on the channels of a map."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H, W)."""
        return map_view(self.proj(as_tokens(x)), x.shape[2:])


class SeparableASPP(nn.Module):
    """Depthwise-separable ASPP without a pooling branch, and a 3x3 bottleneck."""

    def __init__(self, in_channels: int, channels: int, dilations: tuple[int, ...]):
        super().__init__()
        parts = {'norm_cfg': {'type': 'BN'}, 'act_cfg': {'type': 'ReLU'}}
        sizes = {'dilations': dilations, 'in_channels': in_channels, 'channels': channels}
        self.aspp_modules = DepthwiseSeparableASPPModule(**sizes, conv_cfg=None, **parts)
        self.bottleneck = ConvModule(len(dilations) * channels, channels, 3, padding=1, **parts)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Fuse maps of one size, which are joined, channels first."""
        joined = torch.cat([as_map(as_tokens(x), x.shape[2:]) for x in maps], dim=1)
        return self.bottleneck(torch.cat(self.aspp_modules(joined), dim=1))


# types of mmseg's arguments that the head has; None is the first
FIXED = {'conv_cfg': ('Conv2d',), 'norm_cfg': ('BN', 'SyncBN'), 'act_cfg': ('ReLU',)}


@MODELS.register_module()
class DAFormerHead(BaseDecodeHead):
    """Fuses maps of ``in_channels`` at the first one's size and classifies each pixel.

    ``channels`` is the width of the embeddings and of the fused map.

    Raises:
        ValueError: an argument of `FIXED` is of another type, or sets more than that.
    """

    def __init__(
        self,
        in_channels: tuple[int, ...],
        channels: int = 256,
        dilations: tuple[int, ...] = (1, 6, 12, 18),
        **kwargs,
    ):
        for name, types in FIXED.items():
            given = dict(kwargs.get(name) or {'type': types[0]})
            if given.get('type') not in types or given.keys() - {'type', 'requires_grad'}:
                raise ValueError(f'{name}={given!r}: DAFormerHead has {types[0]!r}')
        kwargs |= {'in_index': [*range(len(in_channels))], 'input_transform': 'multiple_select'}
        super().__init__(in_channels, channels, **kwargs)
        self.embed_layers = nn.ModuleList(Embedding(width, channels) for width in in_channels)
        self.fuse_layer = SeparableASPP(len(in_channels) * channels, channels, dilations)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return logits (B, num_classes, h_0, w_0) from maps (B, in_channels[i], h_i, w_i)."""
        maps = self._transform_inputs(inputs)
        embedded = [
            resized(embed(x), maps[0].shape[2:], self.align_corners)
            for embed, x in zip(self.embed_layers, maps, strict=True)
        ]
        return self.cls_seg(self.fuse_layer(embedded))
