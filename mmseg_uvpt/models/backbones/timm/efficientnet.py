"""EfficientNet-Lite (Tan and Le, ICML 2019, without squeeze and excitation) of timm: a CNN."""

from collections.abc import Iterable

from mmseg.registry import MODELS
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.timm.timm_backbone import TimmBackbone
from mmseg_uvpt.ops.tokens import Size, as_map, as_tokens

# of timm's groups of blocks: the one that each stage is entered by, and the one that follows it at
# the same stride
ENTRY, AFTER = (1, 2, 3, 5), (None, None, 4, 6)
GROUPS = 7


@MODELS.register_module()
class TimmEfficientNet(TimmBackbone):
    """An EfficientNet of timm, at strides 4, 8, 16 and 32.

    A stage is entered by the block that halves the map. The next ones, of the same width, are its
    blocks; what follows at the same stride is wider, and makes its feature map.
    """

    kinds = (EfficientNet,)
    channels_first = True
    classifier = ('conv_head', 'bn2', 'classifier')

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.strides = self.strides[1:]  # the first group makes no feature map
        if len(self.net.blocks) != GROUPS or self.strides != (4, 8, 16, 32):
            raise ValueError(
                f'{args[0] if args else kwargs["model"]} has {len(self.net.blocks)} groups of '
                f'blocks, at strides {self.strides}: those that fit have {GROUPS}, at 4 to 32, as '
                'efficientnet_lite0'
            )
        self.widths = tuple(self.net.blocks[group][0].conv_pwl.out_channels for group in ENTRY)

    def enter(self, stage: int, x: Tensor) -> tuple[Tensor, Size]:
        if stage == 0:
            x = self.net.blocks[0](self.net.bn1(self.net.conv_stem(x)))
        x = self.net.blocks[ENTRY[stage]][0](x)
        return as_tokens(x), (x.shape[2], x.shape[3])

    def layers(self, stage: int) -> Iterable[nn.Module]:
        return self.net.blocks[ENTRY[stage]][1:]

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        return as_tokens(self.layers(stage)(as_map(tokens, size)))

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        feature = as_map(tokens, size)
        if AFTER[stage]:
            feature = self.net.blocks[AFTER[stage]](feature)
        return feature, feature
