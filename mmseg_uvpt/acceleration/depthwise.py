"""Depthwise convolutions, where the libraries' own are slow."""

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.mit import DepthwiseConv
from mmseg_uvpt.ops.backends import autocast_type, is_inference_on_cpu
from mmseg_uvpt.ops.tokens import Size, as_tokens, map_view


class Depthwise(nn.Conv2d):
    """A depthwise convolution of stride 1 that keeps the size of maps.

    A few shifts of the map are multiplied and added where that is faster than a library:

    - compiled for a GPU, where it becomes one kernel (at 256 x 256 four times as fast as torch's,
      forward and backward);
    - dilated, without gradients, in float32 on a CPU: for a few channels at a time, which stay in
      the cache (at 128 x 256 two to three times as fast as oneDNN's).
    """

    CHANNELS = 16  # at a time

    def forward(self, x: Tensor) -> Tensor:
        dtype = autocast_type(x)
        if runs_shifted(self, x):
            return shifted(self, x, self.weight, self.bias, dtype or x.dtype)
        plain = x.dtype == torch.float32 and dtype is None
        dilated = self.dilation != (1, 1) and self.bias is None
        if plain and dilated and is_inference_on_cpu(x):
            return self._in_cache(x)
        return super().forward(x)

    def _in_cache(self, x: Tensor) -> Tensor:
        result = torch.empty_like(x, memory_format=torch.contiguous_format)
        for part, channels, weight in zip(
            *(y.split(self.CHANNELS, dim=1) for y in (result, x)),
            self.weight.split(self.CHANNELS),
            strict=True,
        ):
            part.zero_()
            for shift, factor in _shifts(self, channels, weight):
                part.addcmul_(shift, factor)
        return result


class DepthwiseOfTokens(DepthwiseConv):
    """The depthwise convolution of `models.backbones.mit`, without a copy of the tokens on a CPU.

    Tokens are a map with channels last as they lie; oneDNN convolves it so, and rounds otherwise.
    """

    def forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Return tokens (B, height * width, C) of a map of a size, convolved."""
        if tokens.device.type != 'cpu':
            return super().forward(tokens, size)
        return as_tokens(self.dwconv(map_view(tokens, size)))


def is_depthwise(layer: nn.Conv2d) -> bool:
    """Tell whether a convolution is depthwise, of stride 1, and keeps the size by zeros."""
    depthwise = layer.groups == layer.in_channels == layer.out_channels
    if not (depthwise and layer.stride == (1, 1) and pads_zeros(layer)):
        return False
    sides = zip(layer.kernel_size, layer.dilation, layer.padding, strict=True)
    return all(2 * padding == dilation * (side - 1) for side, dilation, padding in sides)


def pads_zeros(layer: nn.Conv2d) -> bool:
    """Tell whether a convolution pads with zeros, by numbers of pixels."""
    return layer.padding_mode == 'zeros' and not isinstance(layer.padding, str)


def runs_shifted(layer: nn.Conv2d, x: Tensor) -> bool:
    """Tell whether a convolution is to be computed by `shifted`: in kernels compiled for a GPU."""
    return x.is_cuda and torch.compiler.is_compiling() and is_depthwise(layer)


def shifted(
    layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Convolve by multiplying and adding shifts of a map, summed in float32.

    Args:
        layer: a depthwise convolution of stride 1 that keeps the size.
        x: (B, C, H, W).
        weight: (C, 1, h, w).
        bias: (C,) or None.
        dtype: of the map that is shifted, and of the result.

    Returns:
        Tensor: (B, C, H, W).
    """
    total = 0 if bias is None else bias.float().view(-1, 1, 1)
    for shift, factor in _shifts(layer, x.to(dtype), weight):
        total = total + shift.float() * factor.float()
    return total.to(dtype)


def _shifts(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each tap of the kernel the map (B, C, H, W) it sees and its weights (C, 1, 1)."""
    height, width = x.shape[2:]
    padded = F.pad(x, (layer.padding[1],) * 2 + (layer.padding[0],) * 2)
    for row, column in itertools.product(*map(range, layer.kernel_size)):
        top, left = row * layer.dilation[0], column * layer.dilation[1]
        shift = padded[:, :, top : top + height, left : left + width]
        yield shift, weight[:, 0, row, column].view(-1, 1, 1)
