"""SegFormer's decode head (Xie et al., NeurIPS 2021, equation 4) as its paper has it."""

from mmseg.models.decode_heads import SegformerHead
from mmseg.registry import MODELS
from torch import nn


@MODELS.register_module()
class LinearSegformerHead(SegformerHead):
    """mmseg's head, whose projections of the maps are linear: no norm and no activation follows.

    So it is in the paper's own code and in `transformers`. Arguments are those of mmseg's.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convs = nn.ModuleList(nn.Conv2d(n, self.channels, 1) for n in self.in_channels)
