"""Bilinear resizing of maps that are trained on, and padding of images."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmseg_uvpt.ops import backends


def resized(x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Resize maps bilinearly, as `torch.nn.functional.interpolate` does, in their own type.

    Autocast would have the result in float32, and with it all that follows. On a GPU the gradient
    is two products of matrices: torch adds it pixel by pixel, in the type of the map and in another
    order each time, which for a head's maps takes twenty times as long.

    Args:
        x: (B, C, h, w).
        size: (H, W).
        align_corners: whether the corners' centres stay where they are, instead of their edges.

    Returns:
        Tensor: (B, C, H, W); ``x`` itself if it has that size.
    """
    if tuple(x.shape[2:]) == tuple(size):
        return x
    trained = x.requires_grad and torch.is_grad_enabled()
    if x.is_cuda and trained and not backends.is_reference():
        return _Resized.apply(x, tuple(size), align_corners)
    return _interpolated(x, tuple(size), align_corners)


def padded(image: Tensor, patch: int) -> Tensor:
    """Pad images (B, C, H, W) at the bottom and on the right to multiples of ``patch``."""
    height, width = image.shape[2:]
    return image if patch == 1 else F.pad(image, (0, -width % patch, 0, -height % patch))


def unpadded(x: Tensor, size: Sequence[int], patch: int) -> Tensor:
    """Cut a map (B, C, h, w) of a `padded` image to what shows the image, which has ``size``."""
    whole = [-(-side // patch) * patch for side in size]
    h, w = (-(-side * cells // n) for side, cells, n in zip(size, x.shape[2:], whole, strict=True))
    return x[..., :h, :w]


def _interpolated(x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    with _without_autocast(x):
        return F.interpolate(x, size=size, mode='bilinear', align_corners=align_corners)


class _Resized(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
        ctx.shares = [
            _shares(*lengths, align_corners, x.dtype, x.device)
            for lengths in zip(x.shape[2:], size, strict=True)
        ]
        return _interpolated(x, size, align_corners)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        rows, columns = ctx.shares
        with _without_autocast(grad):
            if grad.is_contiguous(memory_format=torch.channels_last):
                grad = columns @ grad.permute(0, 2, 3, 1)  # (B, H, w, C)
                grad = (rows @ grad.flatten(2)).unflatten(2, grad.shape[2:])
                return grad.permute(0, 3, 1, 2), None, None
            return rows @ (grad @ columns.T), None, None


@cache  # without a limit: a CUDA graph reads them where they lie
def _shares(
    length: int, size: int, align_corners: bool, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return what each of ``size`` resized pixels of a line takes of ``length``: (length, size)."""
    lines = torch.eye(length, device='cpu')[None]
    shares = F.interpolate(lines, size=size, mode='linear', align_corners=align_corners)
    return shares[0].to(device, dtype)


def _without_autocast(x: Tensor) -> AbstractContextManager:
    cast = backends.autocast_type(x) is not None
    return torch.autocast(x.device.type, enabled=False) if cast else nullcontext()
