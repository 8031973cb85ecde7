"""Deformable attention: the layer, and the two entries to its operation.

The entries check their arguments, and call the backend that serves.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg_uvpt.ops import backends, reference
from mmseg_uvpt.ops.tokens import Size, flat, pixels


class DeformableAttention(nn.Module):
    """Queries attend to a few learned places around their own position in a feature pyramid.

    Values are projected to half the width.

    Args:
        dim: width of queries and values.
        heads: number of attention heads.
        levels: number of value maps.
        points: samples a head takes from each level.

    Raises:
        ValueError: the projected values cannot be split evenly among the heads.
    """

    def __init__(self, dim: int, heads: int, levels: int, points: int = 4):
        super().__init__()
        width = dim // 2
        if width % heads:
            raise ValueError(f'{heads} heads cannot share {width} value channels evenly')
        self.heads, self.levels, self.points = heads, levels, points
        # offset x, offset y and logit of each sample; two layers in released checkpoints, which
        # mmseg_uvpt/checkpoints/names.py merges
        self.sampling = nn.Linear(dim, heads * levels * points * 3)
        self.value_proj = nn.Linear(dim, width)
        self.output_proj = nn.Linear(width, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Point head k at angle 2 pi k / heads, sample p at p pixels' distance; weigh all alike."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        distances = torch.arange(1, self.points + 1).view(1, 1, self.points, 1)
        offsets = directions.view(self.heads, 1, 1, 2) * distances
        bias = torch.zeros(self.heads, self.levels, self.points, 3)
        bias[..., :2] = offsets
        with torch.no_grad():
            self.sampling.bias.copy_(bias.flatten())
        nn.init.zeros_(self.sampling.weight)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self, query: Tensor, query_sizes: Sequence[Size], value: Tensor, value_sizes: Sequence[Size]
    ) -> Tensor:
        """Attend from every pixel of the query maps to the value maps.

        Args:
            query: (B, Q, dim), the pixels of the maps ``query_sizes`` one map after the other.
            query_sizes: (height, width) of each query map.
            value: (B, S, dim), the pixels of the maps ``value_sizes``.
            value_sizes: (height, width) of each value map, ``levels`` of them.

        Returns:
            Tensor: (B, Q, dim).
        """
        values = self.value_proj(value).view(*value.shape[:2], self.heads, -1)
        raw = self.sampling(query).view(*query.shape[:2], self.heads, self.levels, self.points, 3)
        sampled = fused_deformable_attention(values, value_sizes, raw, query_sizes)
        return self.output_proj(sampled)


def deformable_attention(
    value: Tensor, value_sizes: Sequence[Size], locations: Tensor, weights: Tensor
) -> Tensor:
    """Sum weighted bilinear samples of a feature pyramid, zero outside each map.

    Args:
        value: (B, S, heads, D), the maps' pixels row by row, level after level; S is the sum of
            ``height * width`` over ``value_sizes``.
        value_sizes: (height, width) of each level.
        locations: (B, Q, heads, levels, points, 2), x then y, as fractions of a level's width
            and height: 0 and 1 are its outer edges, so pixel (0, 0) is centred at (0.5 / width,
            0.5 / height). Best in float32 even where values are in half precision.
        weights: (B, Q, heads, levels, points).

    Returns:
        Tensor: (B, Q, heads * D), in the type of ``value``; computed in float32, in float64 for
        float64 values. Differentiable once in all three tensors.

    Raises:
        ValueError: shapes or devices contradict each other.
        RuntimeError: ``UVPT_OPS`` asks for a backend that cannot serve these tensors.
    """
    _check_value(value, value_sizes)
    _check_samples('locations', locations, 2, value, value_sizes)
    if weights.shape != locations.shape[:-1]:
        raise ValueError(
            f'weights has shape {tuple(weights.shape)}, locations {tuple(locations.shape)}'
        )
    _check_device('weights', weights, value)
    if _is_compiled(value, locations, len(value_sizes)):
        return torch.ops.uvpt.deformable_attention(value, flat(value_sizes), locations, weights)
    return reference.deformable_attention(value, value_sizes, locations, weights)


def fused_deformable_attention(
    value: Tensor, value_sizes: Sequence[Size], raw: Tensor, query_sizes: Sequence[Size]
) -> Tensor:
    """Attend from each pixel of the query maps to learned places around it in a pyramid.

    Attention weights are the softmax of the logits over levels and points. A sample lies at the
    query's pixel centre, carried over to the level's size, plus an offset in that level's
    pixels. All of it happens inside, in float32.

    Args:
        value: (B, S, heads, D), the maps' pixels row by row, level after level; S is the sum of
            ``height * width`` over ``value_sizes``.
        value_sizes: (height, width) of each level.
        raw: (B, Q, heads, levels, points, 3): offset x, offset y, logit, in the type of
            ``value``; Q is the sum of ``height * width`` over ``query_sizes``.
        query_sizes: (height, width) of each map of queries.

    Returns:
        Tensor: (B, Q, heads * D), in the type of ``value``. Differentiable once in both tensors.

    Raises:
        ValueError: shapes, types or devices contradict each other.
        RuntimeError: ``UVPT_OPS`` asks for a backend that cannot serve these tensors.
    """
    _check_value(value, value_sizes)
    _check_samples('raw', raw, 3, value, value_sizes)
    _check_sizes('query_sizes', query_sizes)
    if raw.shape[1] != pixels(query_sizes):
        raise ValueError(
            f'raw has {raw.shape[1]} queries; query_sizes {list(query_sizes)} have '
            f'{pixels(query_sizes)}'
        )
    if raw.dtype != value.dtype:
        raise ValueError(f'raw is {raw.dtype}, value {value.dtype}: both must be the same')
    if _is_compiled(value, raw, max(len(value_sizes), len(query_sizes))):
        return torch.ops.uvpt.fused_deformable_attention(
            value, flat(value_sizes), raw, flat(query_sizes)
        )
    return reference.fused_deformable_attention(value, value_sizes, raw, query_sizes)


def _is_compiled(value: Tensor, samples: Tensor, maps: int) -> bool:
    levels, points = samples.shape[3:5]
    return backends.is_compiled(value.device, maps, levels * points, value.shape[3])


def _check_sizes(name: str, sizes: Sequence[Size]) -> None:
    if not sizes or any(len(size) != 2 or min(size) < 0 for size in sizes):
        raise ValueError(f'{name} is {list(sizes)}, not one or more pairs of height and width')


def _check_value(value: Tensor, sizes: Sequence[Size]) -> None:
    _check_sizes('value_sizes', sizes)
    if not value.is_floating_point():
        raise ValueError(f'value is {value.dtype}, not a floating point type')
    if value.ndim != 4 or value.shape[1] != pixels(sizes) or value.shape[3] == 0:
        raise ValueError(
            f'value has shape {tuple(value.shape)}; value_sizes {list(sizes)} need '
            f'(B, {pixels(sizes)}, heads, D)'
        )


def _check_samples(
    name: str, tensor: Tensor, last: int, value: Tensor, sizes: Sequence[Size]
) -> None:
    """Check a tensor that holds ``last`` numbers a sample against the values it samples."""
    if tensor.ndim != 6 or tensor.shape[-1] != last or tensor.shape[4] == 0:
        raise ValueError(
            f'{name} has shape {tuple(tensor.shape)}, not (B, Q, heads, levels, points, {last})'
        )
    found = (tensor.shape[0], tensor.shape[2], tensor.shape[3])
    expected = (value.shape[0], value.shape[2], len(sizes))
    if found != expected:
        raise ValueError(f'{name} has (B, heads, levels) = {found}, value has {expected}')
    _check_device(name, tensor, value)


def _check_device(name: str, tensor: Tensor, value: Tensor) -> None:
    if tensor.device != value.device:
        raise ValueError(f'{name} is on {tensor.device}, value on {value.device}')
