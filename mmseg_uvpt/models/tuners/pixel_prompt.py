"""A learned perturbation of the image.

After Bahng et al., "Exploring Visual Prompts for Adapting Large-Scale Models" (2022).
"""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.tuners.tuner import Tuner
from mmseg_uvpt.ops.resizing import resized

KINDS = ('frame', 'full')


@MODELS.register_module()
class PixelPrompt(Tuner):
    """Adds learned pixels to the normalised image, which are 0 at the start; fits any backbone.

    An image of any size is given the same ones. A ``'full'`` perturbation is resized to it. Of a
    ``'frame'`` the strips along the edges are resized in their length and keep their width, which
    is cut where an image is narrower; where two meet in a corner, both are added.

    Args:
        staged: config of the source model's backbone.
        kind: ``'frame'`` or ``'full'``.
        width: pixels from the edge of an image to where the frame ends.
        size: height and width at which it is learned, such as those of the training's crops.

    Raises:
        ValueError: there is no such kind; the width or a side is below one pixel.
    """

    needs_stages = False

    def __init__(
        self,
        staged: dict,
        kind: str = 'frame',
        width: int = 30,
        size: tuple[int, int] = (512, 512),
    ):
        super().__init__(staged)
        if kind not in KINDS:
            raise ValueError(f'kind={kind!r}: must be one of {", ".join(KINDS)}')
        if min(width, *size) < 1:
            raise ValueError(f'width={width}, size={size}: must be pixels, one at the least')
        height, length = size
        if kind == 'full':
            self.pixels = nn.Parameter(torch.zeros(1, 3, height, length))
        else:
            self.rows = nn.Parameter(torch.zeros(2, 3, width, length))  # at the top, at the bottom
            self.columns = nn.Parameter(torch.zeros(2, 3, height, width))  # on the left, the right
        self.kind = kind

    def features_and_prompts(self, image: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Do as the source model with the perturbed image (B, 3, H, W)."""
        height, width = image.shape[2:]
        return super().features_and_prompts(image + self.perturbation(height, width).to(image))

    def perturbation(self, height: int, width: int) -> Tensor:
        """Return what is added to images of a size, (1, 3, height, width)."""
        if self.kind == 'full':
            return resized(self.pixels, (height, width), align_corners=False)
        deep = self.rows.shape[2]
        top, bottom = resized(self.rows, (deep, width), align_corners=False).split(1)
        left, right = resized(self.columns, (height, deep), align_corners=False).split(1)
        below, beside = height - deep, width - deep  # F.pad cuts where they are negative
        rows = F.pad(top, (0, 0, 0, below)) + F.pad(bottom, (0, 0, below, 0))
        return rows + F.pad(left, (0, beside)) + F.pad(right, (beside, 0))
