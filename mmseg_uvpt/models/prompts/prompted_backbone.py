"""A staged backbone with a prompt adapter before the blocks of each stage."""

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.prompts.adapter import PromptAdapter
from mmseg_uvpt.models.prompts.generator import PromptGenerator
from mmseg_uvpt.models.prompts.interactor import LEVELS
from mmseg_uvpt.ops.tokens import map_view


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
        self.adapters = nn.ModuleList(
            PromptAdapter(width, following, heads, points, self.staged.drop_path_rate)
            for width, following in zip(widths, [*widths[1:], None], strict=True)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the feature map of each stage for images (B, 3, H, W) of any size."""
        return self.features_and_prompts(image)[0]

    def features_and_prompts(self, image: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return feature map and prompt, both (B, widths[i], h_i, w_i), of each stage i."""
        pyramid = self.generator(image)
        if self.add_level_embedding:
            pyramid = [
                level + embedding.view(1, -1, 1, 1).to(level)
                for level, embedding in zip(pyramid, self.level_embedding, strict=True)
            ]
        features, prompts, x = [], [], image
        for stage, adapter in enumerate(self.adapters):
            tokens, size = self.staged.enter(stage, x)
            tokens, pyramid = adapter(tokens, size, pyramid)
            prompts.append(map_view(tokens, size))
            tokens = self.staged.blocks(stage, tokens, size)
            feature, x = self.staged.output(stage, tokens, size)
            features.append(feature)
        return tuple(features), tuple(prompts)
