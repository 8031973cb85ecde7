"""What the ablations of the paper put in the place of the prompt generator.

The published code reads none of its options for them, so what they do is this project's reading.
"""

import torch
from torch import Tensor, nn

from mmseg_uvpt.models.prompts.generator import STRIDES, PromptGenerator, init_convolution
from mmseg_uvpt.ops.resizing import resized


def pyramid_sizes(image: Tensor) -> list[list[int]]:
    """Return height and width of the levels of images (B, 3, H, W), rounded up."""
    return [[-(-side // stride) for side in image.shape[2:]] for stride in STRIDES]


class SingleScale(PromptGenerator):
    """One map of stride 4 in the place of three, resized to their sizes."""

    def __init__(self, dim: int, channels: int = 64):
        super().__init__(dim, channels)
        for unused in (self.conv3, self.projections[0], self.projections[2]):
            unused.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what `PromptGenerator.forward` does."""
        level = self.projections[1](self.conv2(self.stem(image)))
        return [resized(level, size, align_corners=False) for size in pyramid_sizes(image)]


class Convolutions(nn.Module):
    """Without a stem: each level a 3x3 convolution of the image, with strides 2, 4 and 8."""

    def __init__(self, dim: int, channels: int = 64):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Conv2d(3, dim, 3, stride=stride, padding=1) for stride in STRIDES
        )
        self.apply(init_convolution)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what `PromptGenerator.forward` does."""
        return [conv(image) for conv in self.levels]


class Learned(nn.Module):
    """Without a generator: three learned maps, the same for each image, resized to its levels."""

    SIDE = 128  # of the largest map: the level of stride 2 of a crop of 256

    def __init__(self, dim: int, channels: int = 64):
        super().__init__()
        sides = [self.SIDE * STRIDES[0] // stride for stride in STRIDES]
        self.levels = nn.ParameterList(torch.randn(1, dim, side, side) * 0.02 for side in sides)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what `PromptGenerator.forward` does."""
        pairs = zip(self.levels, pyramid_sizes(image), strict=True)
        maps = [resized(level, size, align_corners=False) for level, size in pairs]
        return [level.expand(len(image), -1, -1, -1) for level in maps]
