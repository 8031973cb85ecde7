"""PVTv2 (Wang et al., CVMJ 2022) from timm: what it takes to bring one's own backbone."""

from mmseg.registry import MODELS
from timm.models.pvt_v2 import PyramidVisionTransformerV2
from torch import Tensor

from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.ops.tokens import Size, as_map


@MODELS.register_module()
class StagedPVT(StagedBackbone):
    """PVTv2, stage by stage; below ``net`` the parameter names are timm's.

    ``widths`` are the channels a stage; ``**kwargs`` go to timm's model.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 64, 160, 256),
        drop_path_rate: float = 0.0,
        init_cfg: dict | None = None,
        **kwargs,
    ):
        super().__init__(init_cfg)
        self.widths, self.drop_path_rate = tuple(widths), drop_path_rate
        kwargs |= {'embed_dims': widths, 'drop_path_rate': drop_path_rate, 'num_classes': 0}
        self.net = PyramidVisionTransformerV2(**kwargs)

    def enter(self, stage: int, x: Tensor) -> tuple[Tensor, Size]:
        embed = self.net.stages[stage].downsample if stage else self.net.patch_embed
        x = embed(x)  # (B, height, width, C)
        return x.flatten(1, 2), (x.shape[1], x.shape[2])

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        for block in self.net.stages[stage].blocks:
            tokens = block(tokens, size)
        return tokens

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        feature = as_map(self.net.stages[stage].norm(tokens), size)
        return feature, feature
