"""What a backbone must offer so that prompt adapters can be put between its stages."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_uvpt.ops.resizing import padded
from mmseg_uvpt.ops.tokens import Size


class StagedBackbone(BaseModule):
    """A backbone that can be run stage by stage.

    A subclass sets ``widths``, the channels of each stage; and where they differ from those below
    ``strides``, of each stage's map; ``patch``, of which multiples images are padded to;
    ``prefix_tokens``, how many tokens come before those of the map; ``channels_first``, whether its
    `layers` compute maps (B, C, height, width); and ``drop_path_rate``, the
    stochastic depth of its last block, which extractors take over.

    ``init_cfg=dict(type='Pretrained', checkpoint=FILE)`` names a file of a classifier's weights,
    which the training loads; ``classifier_parts`` and ``output_norms`` name tensors that the file
    may hold in excess or lack, and `from_file` translates its names.
    """

    widths: tuple[int, ...]
    strides: tuple[int, ...] = (4, 8, 16, 32)
    patch: int = 1
    prefix_tokens: int = 0
    channels_first: bool = False
    drop_path_rate: float = 0.0
    classifier_parts: tuple[str, ...] = ('head.',)
    output_norms: tuple[str, ...] = ()

    @abstractmethod
    def enter(self, stage: int, x: Any) -> tuple[Tensor, Size]:
        """Embed the padded image of stage 0, or what `output` of the stage before passed on.

        Returns:
            tuple: tokens (B, prefix_tokens + height * width, widths[stage]) and (height, width).
        """

    def layers(self, stage: int) -> Iterable[nn.Module]:
        """Return the blocks of a stage in their order; tuners add to what they compute.

        Raises:
            NotImplementedError: a subclass does not say so.
        """
        raise NotImplementedError(f'{type(self).__name__} does not say which layers a stage has')

    @abstractmethod
    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        """Run the blocks of a stage on its tokens; the shape stays the same."""

    @abstractmethod
    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, Any]:
        """Return the feature map (B, widths[stage], height, width), and what `enter` receives."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the feature map of each stage for an image (B, 3, H, W).

        It may have any size that the layers take: ConvNeXt and PVT want 32 pixels a side.
        """
        features, x = [], padded(image, self.patch)
        for stage in range(len(self.widths)):
            tokens, size = self.enter(stage, x)
            feature, x = self.output(stage, self.blocks(stage, tokens, size), size)
            features.append(feature)
        return tuple(features)

    def from_file(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a file of a classifier under the names of this backbone.

        Raises:
            ValueError: they are not those of such a model.
        """
        return tensors

    def init_random(self) -> None:
        """Fill the parameters at random, as the backbone's paper does."""

    def init_weights(self) -> None:
        """Do as `init_random`; mmengine calls it."""
        self.init_random()
