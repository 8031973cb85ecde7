"""The layer: deformable attention with its projections."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg_uvpt.ops.functional import fused_deformable_attention
from mmseg_uvpt.ops.tokens import Size


class DeformableAttention(nn.Module):
    """Queries attend to a few learned places around their own position in a feature pyramid.

    Args:
        dim: width of queries and values.
        heads: number of attention heads.
        levels: number of value maps.
        points: samples a head takes from each level.
        value_ratio: width of the projected values, as a part of ``dim``.

    Raises:
        ValueError: the projected values cannot be split evenly among the heads.
    """

    def __init__(
        self, dim: int, heads: int, levels: int, points: int = 4, value_ratio: float = 0.5
    ):
        super().__init__()
        width = int(dim * value_ratio)
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
