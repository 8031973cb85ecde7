"""The prompt generator: a convolutional stem that turns the image into a prompt pyramid.

Source: section 3 of the paper; the stem is the spatial prior module of ViT-Adapter (Chen et al.,
ICLR 2023), with levels of stride 2, 4 and 8.
"""

import math

from torch import Tensor, nn

STRIDES = (2, 4, 8)


def _conv(in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
    """3x3 convolution, batch norm (synchronised where training is distributed) and ReLU."""
    return [
        nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


class PromptGenerator(nn.Module):
    """Image to three maps of one width at strides 2, 4 and 8.

    Args:
        dim: width of the maps, that of the backbone's first stage.
        channels: width of the stem; the next two levels have twice and four times as many.
    """

    def __init__(self, dim: int, channels: int = 64):
        super().__init__()
        self.stem = nn.Sequential(
            *_conv(3, channels, 2),
            *_conv(channels, channels, 1),
            *_conv(channels, channels, 1),
            nn.MaxPool2d(3, stride=1, padding=1),
        )
        self.conv2 = nn.Sequential(*_conv(channels, 2 * channels, 2))
        self.conv3 = nn.Sequential(*_conv(2 * channels, 4 * channels, 2))
        # in every released checkpoint, and feeding nothing: kept so that files fit both ways
        self.conv4 = nn.Sequential(*_conv(4 * channels, 4 * channels, 2)).requires_grad_(False)
        self.projections = nn.ModuleList(nn.Conv2d(channels * n, dim, 1) for n in (1, 2, 4))
        self.apply(init_convolution)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return (B, dim, ceil(H / s), ceil(W / s)), s = 2, 4, 8, of images (B, 3, H, W)."""
        levels = [self.stem(image)]
        for conv in (self.conv2, self.conv3):
            levels.append(conv(levels[-1]))
        return [project(level) for project, level in zip(self.projections, levels, strict=True)]


def init_convolution(module: nn.Module) -> None:
    """Fill a convolution's weight normally by its fan-out; leave other modules alone."""
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
