"""A staged backbone with a prompt adapter before the blocks of each stage."""

from itertools import pairwise

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.prompts.adapter import PromptAdapter
from mmseg_uvpt.models.prompts.generator import STRIDES, PromptGenerator
from mmseg_uvpt.models.prompts.interactor import LEVELS
from mmseg_uvpt.ops.resizing import padded, resized
from mmseg_uvpt.ops.tokens import Size, map_view


@MODELS.register_module()
class PromptedBackbone(BaseModule):
    """Owns one staged backbone, one prompt generator and one prompt adapter a stage.

    Args:
        staged: config of the staged backbone.
        heads: attention heads of the adapters; None for the most that each width allows.
        points: samples a head takes from each level.
        generator_channels: width of the prompt generator's stem.
        add_level_embedding: add the level embedding to the pyramid. The released MiT models hold
            one that they never add; their scores depend on that.
    """

    def __init__(
        self,
        staged: dict,
        heads: int | None = 16,
        points: int = 4,
        generator_channels: int = 64,
        add_level_embedding: bool = True,
    ):
        super().__init__()
        self.staged = MODELS.build(staged)
        widths = self.staged.widths
        self.generator = PromptGenerator(widths[0], generator_channels)
        self.level_embedding = nn.Parameter(torch.empty(LEVELS, widths[0]).normal_())
        self.level_embedding.requires_grad_(add_level_embedding)
        self.add_level_embedding = add_level_embedding
        ratios = [b // a for a, b in pairwise(self.staged.strides)]
        nexts = [*zip(widths[1:], ratios, strict=True), (None, 1)]
        how = {'heads': heads, 'points': points, 'drop_path': self.staged.drop_path_rate}
        self.adapters = nn.ModuleList(
            PromptAdapter(width, *following, **how)
            for width, following in zip(widths, nexts, strict=True)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the feature map of each stage for images (B, 3, H, W) of any size."""
        return self.features_and_prompts(image)[0]

    def features_and_prompts(self, image: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return feature map and prompt, both (B, widths[i], h_i, w_i), of each stage i."""
        image = padded(image, self.staged.patch)
        pyramid = self.generator(image)
        if self.add_level_embedding:
            pyramid = [
                level + embedding.view(1, -1, 1, 1).to(level)
                for level, embedding in zip(pyramid, self.level_embedding, strict=True)
            ]
        features, prompts, x, before = [], [], image, self.staged.prefix_tokens
        for stage, adapter in enumerate(self.adapters):
            tokens, size = self.staged.enter(stage, x)
            prefix, tokens = tokens[:, :before], tokens[:, before:]
            if stage == 0 and self.staged.strides[0] != STRIDES[1]:
                pyramid = around(size, pyramid)
            tokens, pyramid = adapter(tokens, size, pyramid)
            prompts.append(map_view(tokens, size))
            tokens = torch.cat([prefix, tokens], dim=1) if before else tokens
            tokens = self.staged.blocks(stage, tokens, size)
            feature, x = self.staged.output(stage, tokens, size)
            features.append(feature)
        return tuple(features), tuple(prompts)


def around(size: Size, pyramid: list[Tensor]) -> list[Tensor]:
    """Resize the levels (B, C, h, w) of a pyramid to 2, 1 and 0.5 times a size, rounded up."""
    sizes = [[2 * n for n in size], size, [-(-n // 2) for n in size]]
    return [resized(x, s, align_corners=False) for x, s in zip(pyramid, sizes, strict=True)]
