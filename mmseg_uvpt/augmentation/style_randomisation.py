"""Style randomisation (Jackson et al., "Style Augmentation: Data Augmentation via Style
Randomization", CVPR workshops 2019): images repainted in a random style near their own.

Names of modules and parameters are those of the published weight files.
"""

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDING = 100  # numbers that describe a style


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode='reflect')


def _restyle(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Normalise each channel over space, then scale and shift it as the style says."""
    return F.instance_norm(x) * gamma[:, :, None, None] + beta[:, :, None, None]


class _Encode(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.conv = _convolution(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return F.relu(F.instance_norm(self.conv(x)))


class _Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = _convolution(channels, channels)
        self.conv2 = _convolution(channels, channels)
        for number in (1, 2):
            setattr(self, f'fc_beta{number}', nn.Linear(EMBEDDING, channels))
            setattr(self, f'fc_gamma{number}', nn.Linear(EMBEDDING, channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = _restyle(self.conv1(x), self.fc_gamma1(style), self.fc_beta1(style))
        y = self.conv2(F.relu(y))
        return x + _restyle(y, self.fc_gamma2(style), self.fc_beta2(style))


class _Decode(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, last: bool = False):
        super().__init__()
        self.last = last
        self.conv = _convolution(inputs, outputs, kernel)
        self.fc_beta = nn.Linear(EMBEDDING, outputs)
        self.fc_gamma = nn.Linear(EMBEDDING, outputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        if not self.last:
            x = F.interpolate(x, scale_factor=2.0, mode='nearest')
        x = _restyle(self.conv(x), self.fc_gamma(style), self.fc_beta(style))
        return x.sigmoid() if self.last else F.relu(x)


class StyleTransfer(nn.Module):
    """The transfer network: an image, and how it shall look, to an image."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                _Encode(3, 32, kernel=9, stride=1),
                _Encode(32, 64, kernel=3, stride=2),
                _Encode(64, 128, kernel=3, stride=2),
                *(_Residual(128) for _ in range(5)),
                _Decode(128, 64),
                _Decode(64, 32),
                _Decode(32, 3, kernel=9, last=True),
            ]
        )

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        """Return images (B, 3, H', W') in 0..1; ``image`` (B, 3, H, W), RGB in 0..1.

        H' and W' are H and W rounded up to multiples of 4; ``style`` is (B, 100).
        """
        for layer in self.layers:
            image = layer(image, style)
        return image


class StylePredictor(nn.Module):
    """The style of an image: Inception-v3 up to Mixed_6e, mean over space, a linear layer.

    In train mode batch norms take the statistics of the images given, which change no running ones:
    the published pretraining has it so, with one image at a time. In eval mode they take the
    running statistics of the weight file.
    """

    _LAYERS = (
        *('Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'maxpool1'),
        *('Conv2d_3b_1x1', 'Conv2d_4a_3x3', 'maxpool2', 'Mixed_5b', 'Mixed_5c', 'Mixed_5d'),
        *('Mixed_6a', 'Mixed_6b', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e'),
    )

    def __init__(self):
        super().__init__()
        from torchvision.models import inception_v3

        whole = inception_v3(weights=None, init_weights=False, aux_logits=False)
        for name in self._LAYERS:
            setattr(self, name, getattr(whole, name))
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.track_running_stats = False
        self.fc = nn.Linear(768, EMBEDDING)
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        published = torch.tensor([0.229, 0.224, 0.255])  # its last number is not ImageNet's
        # both normalisations, one after the other, are one scale and one shift
        scale = deviation / 0.5 / published
        self.register_buffer('scale', scale.view(1, 3, 1, 1), persistent=False)
        shift = (mean - 0.5) / 0.5 - mean * scale
        self.register_buffer('shift', shift.view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return styles (B, 100) of images (B, 3, H, W), RGB in 0..1; H and W at least 75."""
        x = image * self.scale + self.shift
        for name in self._LAYERS:
            x = getattr(self, name)(x)
        return self.fc(x.mean(dim=(2, 3)))


class StyleRandomisation(nn.Module):
    """Images repainted in a style between their own and a random one, each by itself.

    Args:
        strength: of the random style, 0 to 1; 0.5 as published. At 0 an image is repainted in its
            own style.
    """

    def __init__(self, strength: float = 0.5):
        super().__init__()
        self.strength = strength
        self.transfer = StyleTransfer()
        self.predictor = StylePredictor()
        self.register_buffer('mean', torch.zeros(EMBEDDING))
        self.register_buffer('covariance', torch.eye(EMBEDDING))

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw styles (count, 100), on the CPU, from the Gaussian of the styles of paintings."""
        noise = torch.randn(count, EMBEDDING, generator=generator, dtype=torch.float64)
        return (self.mean.double().cpu() + noise @ self._factor.T).float()

    @cached_property
    def _factor(self) -> Tensor:
        """A root of the covariance, taken once the weights are there."""
        # the published covariance is not positive definite to the last digit: no Cholesky factor
        values, vectors = torch.linalg.eigh(self.covariance.double().cpu())
        return vectors * values.clamp(min=0).sqrt()

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in 0..1; ``image`` alike, RGB; ``style`` (B, 100) drawn."""
        own = torch.cat([self.predictor(one) for one in image.split(1)])  # of its own statistics
        embedding = self.strength * style + (1 - self.strength) * own
        height, width = image.shape[2:]
        return self.transfer(image, embedding)[:, :, :height, :width]
