"""What a backbone must offer so that prompt adapters can be put between its stages."""

from abc import abstractmethod
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from mmseg_uvpt.acceleration.capture import predicts_on_cpu
from mmseg_uvpt.checkpoints.loading import load_imagenet_weights

Size = tuple[int, int]
_BLOCK = 1024  # rows


def as_map(tokens: Tensor, size: Size) -> Tensor:
    """Turn tokens (B, height * width, C) into a map (B, C, height, width), channels first.

    With channels last, as the tokens lie, convolutions and products would round otherwise.
    """
    return transposed(tokens).unflatten(2, size)


def map_view(tokens: Tensor, size: Size) -> Tensor:
    """Turn tokens into a map without a copy: channels last, as torch resizes maps fastest."""
    # with another order of these two, torch would not know a batch of 1 for channels last
    return tokens.unflatten(1, size).permute(0, 3, 1, 2)


def transposed(x: Tensor) -> Tensor:
    """Return (B, N, M), contiguous, of (B, M, N).

    A pass that only predicts on a CPU copies blocks that stay in the cache, image by image: torch
    does so for matrices alone, and takes two to four times as long for a large one at once.
    """
    if not predicts_on_cpu(x):
        return x.transpose(1, 2).contiguous()
    y = x.new_empty(x.shape[0], x.shape[2], x.shape[1])
    for matrix, result in zip(x, y, strict=True):
        for rows, columns in zip(matrix.split(_BLOCK), result.split(_BLOCK, dim=1), strict=True):
            columns.copy_(rows.t())
    return y


def as_tokens(feature_map: Tensor) -> Tensor:
    """Turn a map (B, C, height, width) into tokens (B, height * width, C)."""
    return feature_map.flatten(2).transpose(1, 2)


class StagedBackbone(BaseModule):
    """A hierarchical backbone that can be run stage by stage.

    A subclass sets ``widths``, the channels of each stage, and ``drop_path_rate``, the stochastic
    depth of its last block, if it has any: extractors take it over. It defines `enter`, `blocks`
    and `output`. What `output` returns as its second value is what the next stage's `enter`
    receives; its type is the subclass's own affair.

    With ``init_cfg=dict(type='Pretrained', checkpoint=FILE)``, `init_weights` loads an ImageNet
    classifier's weights strictly; ``classifier_parts`` and ``output_norms`` name what such a file
    may hold in excess and may lack.
    """

    widths: tuple[int, ...]
    drop_path_rate: float = 0.0
    classifier_parts: tuple[str, ...] = ('head.',)
    output_norms: tuple[str, ...] = ()

    @abstractmethod
    def enter(self, stage: int, x: Any) -> tuple[Tensor, Size]:
        """Embed the image (stage 0) or merge the previous stage's patches.

        Args:
            stage: number of the stage, from 0.
            x: image (B, 3, H, W) for stage 0, else what `output` of the stage before passed on.

        Returns:
            tuple: tokens (B, height * width, widths[stage]) and (height, width).
        """

    @abstractmethod
    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        """Run the transformer blocks of a stage on its tokens; the shape stays the same."""

    @abstractmethod
    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, Any]:
        """Normalise a stage's tokens.

        Returns:
            tuple: feature map (B, widths[stage], height, width) for the decode head, and what the
            next stage's `enter` receives.
        """

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the feature map of each stage for an image (B, 3, H, W) of any size."""
        features, x = [], image
        for stage in range(len(self.widths)):
            tokens, size = self.enter(stage, x)
            feature, x = self.output(stage, self.blocks(stage, tokens, size), size)
            features.append(feature)
        return tuple(features)

    def init_random(self) -> None:
        """Fill the parameters at random, as the backbone's paper does."""

    def init_weights(self) -> None:
        """Initialise at random, then load the ImageNet file of ``init_cfg`` if there is one."""
        self.init_random()
        if self.init_cfg:
            load_imagenet_weights(self, self.init_cfg['checkpoint'])
