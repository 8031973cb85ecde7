"""AdaIN style transfer (Huang and Belongie, "Arbitrary Style Transfer in Real-Time with Adaptive
Instance Normalization", ICCV 2017).

The networks are flat lists of layers, as in the published weight files, whose names are the layers'
numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EPS = 1e-5
_ENCODER = (64, 64, 'pool', 128, 128, 'pool', 256, 256, 256, 256, 'pool', 512)  # to relu4_1
_DECODER = (256, 'up', 256, 256, 256, 128, 'up', 128, 64, 'up', 64)


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3)]


def encoder() -> nn.Sequential:
    """Return VGG-19 up to relu4_1, with a 1x1 convolution before it: (B, 3, H, W) in 0..1 to
    (B, 512, H / 8, W / 8), rounded up."""
    layers, channels = [nn.Conv2d(3, 3, 1)], 3
    for step in _ENCODER:
        if step == 'pool':
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        else:
            layers += [*_convolution(channels, step), nn.ReLU()]
            channels = step
    return nn.Sequential(*layers)


def decoder() -> nn.Sequential:
    """Return the encoder's mirror: features (B, 512, h, w) to an image (B, 3, 8h, 8w)."""
    layers, channels = [], 512
    for step in _DECODER:
        if step == 'up':
            layers.append(nn.Upsample(scale_factor=2, mode='nearest'))
        else:
            layers += [*_convolution(channels, step), nn.ReLU()]
            channels = step
    return nn.Sequential(*layers, *_convolution(channels, 3))


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over space, (B, C, 1, 1), of features (B, C, h, w)."""
    variance, mean = torch.var_mean(features, dim=(2, 3), keepdim=True)
    return mean, (variance + EPS).sqrt()


def adapt(content: Tensor, style: Tensor, strength: float = 1.0) -> Tensor:
    """Give content features the channel statistics of style features.

    Args:
        content: (B, C, h, w).
        style: (B, C, h', w').
        strength: 0 keeps the content's statistics, 1 takes the style's.

    Returns:
        Tensor: (B, C, h, w).
    """
    (mean, deviation), (style_mean, style_deviation) = statistics(content), statistics(style)
    adapted = (content - mean) / deviation * style_deviation + style_mean
    return strength * adapted + (1 - strength) * content


class AdaIN(nn.Module):
    """Images repainted in the style of others.

    Args:
        strength: of the style, 0 to 1; 0.3 as published.
    """

    def __init__(self, strength: float = 0.3):
        super().__init__()
        self.strength = strength
        self.encoder = encoder()
        self.decoder = decoder()

    def forward(self, content: Tensor, styles: Sequence[Tensor]) -> Tensor:
        """Return images (B, 3, H, W) in 0..1, RGB.

        Args:
            content: (B, 3, H, W), RGB in 0..1.
            styles: B images (3, h, w) of any sizes, likewise.
        """
        pairs = zip(self.encoder(content), styles, strict=True)
        features = torch.cat(
            [adapt(x[None], self.encoder(style[None]), self.strength) for x, style in pairs]
        )
        height, width = content.shape[2:]
        return self.decoder(features)[:, :, :height, :width]
