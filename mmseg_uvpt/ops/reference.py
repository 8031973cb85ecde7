"""Deformable attention in plain PyTorch: what the compiled backends are checked against."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_uvpt.ops.tokens import Size


def deformable_attention(
    value: Tensor, value_sizes: Sequence[Size], locations: Tensor, weights: Tensor
) -> Tensor:
    """Sum weighted bilinear samples; arguments as in `mmseg_uvpt.ops.deformable_attention`."""
    # in half precision neighbouring places of a map would fall together: sample in float32
    dtype = torch.promote_types(value.dtype, torch.float32)
    maps, grids, weights = value.to(dtype), 2 * locations.to(dtype) - 1, weights.to(dtype)
    batch, _, heads, width = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    sums = []
    for level, (h, w) in enumerate(value_sizes):
        start = sum(a * b for a, b in value_sizes[:level])
        if not (batch * heads * queries and h * w):
            continue  # grid_sample takes no empty map, and nothing is added
        level_map = maps[:, start : start + h * w].permute(0, 2, 3, 1)
        level_map = level_map.reshape(batch * heads, width, h, w)
        grid = grids[:, :, :, level].transpose(1, 2).reshape(-1, queries, points, 2)
        sampled = F.grid_sample(level_map, grid, mode='bilinear', align_corners=False)
        weight = weights[:, :, :, level].transpose(1, 2).reshape(-1, 1, queries, points)
        sums.append((sampled * weight).sum(-1))
    if sums:
        output = sum(sums)
    else:  # sums of nothing keep the result differentiable
        nothing = maps[:, :0].sum() + grids[:, :0].sum() + weights[:, :0].sum()
        output = nothing.expand(batch * heads, width, queries)
    output = output.view(batch, heads * width, queries).transpose(1, 2)
    return output.to(value.dtype).contiguous()


def fused_deformable_attention(
    value: Tensor, value_sizes: Sequence[Size], raw: Tensor, query_sizes: Sequence[Size]
) -> Tensor:
    """Softmax, reference points, samples; as `mmseg_uvpt.ops.fused_deformable_attention`."""
    raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
    centres = pixel_centres(query_sizes, raw).view(1, raw.shape[1], 1, 1, 1, 2)
    # an empty level is not sampled; 1 keeps its locations finite (new_tensor would be simpler, but
    # torch 2.4 compiles it to other numbers where sizes are dynamic)
    scale = torch.stack([raw.new_full((), max(n, 1)) for h, w in value_sizes for n in (w, h)])
    locations = centres + raw[..., :2] / scale.view(1, 1, 1, -1, 1, 2)
    weights = raw[..., 2].flatten(3).softmax(-1).view(raw.shape[:-1])
    return deformable_attention(value, value_sizes, locations, weights)


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
