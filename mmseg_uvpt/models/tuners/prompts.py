"""The method's way of tuning: a prompt adapter before the blocks of each stage (paper, section 3).

`Prompts.features_and_prompts` is the forward of the paper's model.
"""

from itertools import pairwise

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.prompts import ablations
from mmseg_uvpt.models.prompts.adapter import PromptAdapter
from mmseg_uvpt.models.prompts.generator import STRIDES, PromptGenerator
from mmseg_uvpt.models.prompts.interactor import LEVELS
from mmseg_uvpt.models.tuners.tuner import Tuner, require_whole
from mmseg_uvpt.ops.resizing import padded, resized
from mmseg_uvpt.ops.tokens import Size, map_view

GENERATORS = {
    'pyramid': PromptGenerator,
    'single_scale': ablations.SingleScale,
    'convolutions': ablations.Convolutions,
    'learned': ablations.Learned,
}
TUNED = ('prompts', 'head', 'all')


@MODELS.register_module(name=['Prompts', 'PromptedBackbone'])  # the second of version 0.1
class Prompts(Tuner):
    """Owns one staged backbone, one prompt generator and one prompt adapter a stage.

    Args:
        staged: config of the source model's backbone.
        heads: attention heads of the adapters; None for 16 where the width allows (see
            `PromptInteractor`).
        points: samples a head takes from each level.
        generator_channels: width of the prompt generator's stem.
        add_level_embedding: add the level embedding to the pyramid. The released MiT models hold
            one that they never add; their scores depend on that.
        generator: what makes the pyramid: ``'pyramid'``, or of the ablations ``'single_scale'``,
            ``'convolutions'`` (no stem) or ``'learned'`` (no generator).
        interactors: how many of the first stages have an adapter; None: each, as in the paper.
        tune: ``'prompts'`` and head; ``'all'``: the source model, too, as the published launcher
            does; ``'head'``: the head alone, with initial prompts.

    Raises:
        ValueError: an argument is none of these; the backbone has no stages.
    """

    def __init__(
        self,
        staged: dict,
        heads: int | None = None,
        points: int = 4,
        generator_channels: int = 64,
        add_level_embedding: bool = True,
        generator: str = 'pyramid',
        interactors: int | None = None,
        tune: str = 'prompts',
    ):
        require_whole(points=points)
        super().__init__(staged)
        _require('generator', generator, GENERATORS)
        _require('tune', tune, TUNED)
        widths = self.staged.widths
        self.generator = GENERATORS[generator](widths[0], generator_channels)
        self.level_embedding = nn.Parameter(torch.empty(LEVELS, widths[0]).normal_())
        self.level_embedding.requires_grad_(add_level_embedding)
        self.add_level_embedding = add_level_embedding
        ratios = [b // a for a, b in pairwise(self.staged.strides)]
        count = len(widths) if interactors is None else interactors
        if count not in range(1, len(widths) + 1):
            raise ValueError(f'interactors={interactors!r}: must be None or 1..{len(widths)}')
        # the last adapter has nothing to carry the pyramid on to
        nexts = [*zip(widths[1:count], ratios[: count - 1], strict=True), (None, 1)]
        how = {'heads': heads, 'points': points, 'drop_path': self.staged.drop_path_rate}
        self.adapters = nn.ModuleList(
            PromptAdapter(width, *following, **how)
            for width, following in zip(widths[:count], nexts, strict=True)
        )
        if tune == 'all':
            self.staged.requires_grad_(True)
        elif tune == 'head':
            self.requires_grad_(False)

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
        for stage in range(len(self.staged.widths)):
            tokens, size = self.staged.enter(stage, x)
            prefix, tokens = tokens[:, :before], tokens[:, before:]
            if stage == 0 and self.staged.strides[0] != STRIDES[1]:
                pyramid = around(size, pyramid)
            if stage < len(self.adapters):
                tokens, pyramid = self.adapters[stage](tokens, size, pyramid)
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


def _require(name: str, value: str, known: object) -> None:
    if value not in known:
        raise ValueError(f'{name}={value!r}: must be one of {", ".join(known)}')
