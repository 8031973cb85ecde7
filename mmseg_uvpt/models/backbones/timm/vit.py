"""Plain vision transformers of timm, cut into four stages of blocks.

AugReg and DeiT (Steiner et al., 2021; Touvron et al., ICML 2021), CLIP and SigLIP towers, DINOv2
with registers and without, and, of timm's `Eva`, EVA-02 and DINOv3's ViTs.
"""

from collections.abc import Iterable
from typing import ClassVar

from mmseg.registry import MODELS
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.timm.timm_backbone import TimmBackbone
from mmseg_uvpt.ops.tokens import Size, as_map

STAGES = 4


@MODELS.register_module()
class TimmViT(TimmBackbone):
    """A plain ViT of timm: all stages have one width and the stride of its patches.

    Class and register tokens come before the tokens of the map and are not prompted. Positions are
    resized to the map, and images padded to whole patches. Feature maps are normalised as the last
    one is.
    """

    kinds = (VisionTransformer, Eva)
    fixed: ClassVar[dict] = {'dynamic_img_size': True}
    classifier = ('head', 'attn_pool', 'fc_norm')

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        depth = len(self.net.blocks)
        if depth < STAGES or getattr(self.net, 'rope_mixed', False):
            raise ValueError('a ViT needs four blocks and one rotation of positions for all')
        self.ends = [depth * (stage + 1) // STAGES for stage in range(STAGES)]
        self.widths = (self.net.embed_dim,) * STAGES
        self.patch = self.net.patch_embed.patch_size[0]
        self.strides = (self.patch,) * STAGES
        self.prefix_tokens = self.net.num_prefix_tokens

    def enter(self, stage: int, x: Tensor | tuple[Tensor, Size]) -> tuple[Tensor, Size]:
        if stage:
            return x
        x = self.net.patch_embed(x)  # (B, height, width, C)
        size = x.shape[1], x.shape[2]
        x = self.net._pos_embed(x)
        return self.net.norm_pre(x[0] if isinstance(x, tuple) else x), size

    def layers(self, stage: int) -> Iterable[nn.Module]:
        return self.net.blocks[self.ends[stage - 1] if stage else 0 : self.ends[stage]]

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        rope = getattr(self.net, 'rope', None)
        how = {} if rope is None else {'rope': rope.get_embed(shape=size)}
        for layer in self.layers(stage):
            tokens = layer(tokens, **how)
        return tokens

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, tuple[Tensor, Size]]:
        feature = self.net.norm(tokens)[:, self.prefix_tokens :]
        return as_map(feature, size), (tokens, size)
