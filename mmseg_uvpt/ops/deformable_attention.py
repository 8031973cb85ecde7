"""Multi-scale deformable attention (Zhu et al., "Deformable DETR", ICLR 2021, equation 3).

`deformable_attention` is the operation, in plain PyTorch; `DeformableAttention` is the layer with
its projections. Sizes are Python integers throughout: nothing here waits for a device.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Size = tuple[int, int]


def deformable_attention(
    value: Tensor, sizes: Sequence[Size], locations: Tensor, weights: Tensor
) -> Tensor:
    """Sum weighted bilinear samples of a feature pyramid, zero outside each map.

    Args:
        value: (B, S, heads, D), the maps' pixels row by row, level after level; S is the sum of
            ``height * width`` over ``sizes``.
        sizes: (height, width) of each level.
        locations: (B, Q, heads, levels, points, 2), x then y, as fractions of a level's width and
            height: 0 and 1 are its outer edges, so pixel (0, 0) is centred at (0.5 / width,
            0.5 / height).
        weights: (B, Q, heads, levels, points).

    Returns:
        Tensor: (B, Q, heads * D).

    Raises:
        ValueError: the shapes contradict each other.
    """
    _check_shapes(value, sizes, locations, weights)
    batch, _, heads, width = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    grids = 2 * locations - 1
    samples = []
    levels = value.split([h * w for h, w in sizes], dim=1)
    for level, (h, w) in enumerate(sizes):
        maps = levels[level].permute(0, 2, 3, 1).reshape(batch * heads, width, h, w)
        grid = grids[:, :, :, level].transpose(1, 2).reshape(batch * heads, queries, points, 2)
        samples.append(F.grid_sample(maps, grid, mode='bilinear', align_corners=False))
    sampled = torch.cat(samples, dim=-1)  # (B * heads, D, Q, levels * points)
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, queries, len(sizes) * points)
    output = (sampled * weights).sum(-1).reshape(batch, heads * width, queries)
    return output.transpose(1, 2).contiguous()


def _check_shapes(value: Tensor, sizes: Sequence[Size], locations: Tensor, weights: Tensor) -> None:
    """Raise a ValueError that names the first contradiction between the arguments."""
    pixels = sum(h * w for h, w in sizes)
    if value.ndim != 4 or value.shape[1] != pixels:
        raise ValueError(
            f'value has shape {tuple(value.shape)}; sizes {list(sizes)} need (B, {pixels}, heads, '
            'D)'
        )
    batch, _, heads, _ = value.shape
    expected = (batch, heads, len(sizes))
    if locations.ndim != 6 or locations.shape[-1] != 2:
        raise ValueError(
            f'locations has shape {tuple(locations.shape)}, not (B, Q, heads, levels, points, 2)'
        )
    found = (locations.shape[0], locations.shape[2], locations.shape[3])
    if found != expected:
        raise ValueError(f'locations has (B, heads, levels) = {found}, value has {expected}')
    if weights.shape != locations.shape[:-1]:
        raise ValueError(
            f'weights has shape {tuple(weights.shape)}, locations {tuple(locations.shape)}'
        )


def pixel_centres(sizes: Sequence[Size], like: Tensor) -> Tensor:
    """Return the centres of all pixels of some maps as fractions of each map's size.

    Args:
        sizes: (height, width) of each map.
        like: tensor whose device is used; the result is float32 if that is narrower, so that
            neighbouring pixels stay apart in half precision.

    Returns:
        Tensor: (sum of height * width, 2), x then y, maps one after the other, row by row.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    centres = []
    for h, w in sizes:
        y = (torch.arange(h, device=like.device, dtype=dtype) + 0.5) / h
        x = (torch.arange(w, device=like.device, dtype=dtype) + 0.5) / w
        centres.append(torch.stack(torch.meshgrid(x, y, indexing='xy'), -1).reshape(-1, 2))
    return torch.cat(centres)


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
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
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
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, self.levels, -1, -1).flatten())
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
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
        batch, queries, _ = query.shape
        split = (batch, queries, self.heads, self.levels, self.points)
        centres = pixel_centres(query_sizes, query).view(1, queries, 1, 1, 1, 2)
        scale = centres.new_tensor([(w, h) for h, w in value_sizes]).view(1, 1, 1, -1, 1, 2)
        locations = centres + self.sampling_offsets(query).view(*split, 2) / scale
        weights = self.attention_weights(query).view(*split[:3], -1).softmax(-1).view(split)
        values = self.value_proj(value).view(batch, value.shape[1], self.heads, -1)
        # in half precision neighbouring places of a map would fall together: sample in float32
        values, weights = values.to(locations.dtype), weights.to(locations.dtype)
        sampled = deformable_attention(values, value_sizes, locations, weights)
        return self.output_proj(sampled.to(query.dtype))
