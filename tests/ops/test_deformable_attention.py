"""Deformable attention against sums written out pixel by pixel."""

import math

import pytest
import torch

from mmseg_uvpt.ops.deformable_attention import (
    DeformableAttention,
    deformable_attention,
    pixel_centres,
)


def bilinear(level, x: float, y: float):
    """Sample a map (h, w, D) at pixel coordinates, zero outside."""
    h, w, _ = level.shape
    x0, y0 = math.floor(x), math.floor(y)
    total = torch.zeros_like(level[0, 0])
    for i, j in ((y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1)):
        if 0 <= i < h and 0 <= j < w:
            total = total + level[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return total


@pytest.mark.parametrize('sizes', [[(3, 5)], [(6, 4), (3, 2), (1, 1)]])
def test_against_a_direct_sum(sizes):
    torch.manual_seed(0)
    batch, queries, heads, width, points = 2, 3, 2, 4, 3
    pixels = sum(h * w for h, w in sizes)
    value = torch.randn(batch, pixels, heads, width, dtype=torch.float64)
    locations = torch.rand(batch, queries, heads, len(sizes), points, 2, dtype=torch.float64)
    locations = locations * 3 - 1  # a good part of them outside
    weights = torch.rand(batch, queries, heads, len(sizes), points, dtype=torch.float64)
    expected = torch.zeros(batch, queries, heads, width, dtype=torch.float64)
    for b in range(batch):
        for q in range(queries):
            for m in range(heads):
                levels = value[b, :, m].split([h * w for h, w in sizes])
                for level, (h, w) in enumerate(sizes):
                    for p in range(points):
                        x, y = locations[b, q, m, level, p].tolist()
                        sample = bilinear(levels[level].view(h, w, -1), x * w - 0.5, y * h - 0.5)
                        expected[b, q, m] += weights[b, q, m, level, p] * sample
    found = deformable_attention(value, sizes, locations, weights)
    torch.testing.assert_close(found, expected.flatten(2))


def test_gradients():
    torch.manual_seed(0)
    sizes = [(3, 4), (2, 2)]
    value = torch.randn(1, 16, 2, 2, dtype=torch.float64, requires_grad=True)
    locations = torch.rand(1, 3, 2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda v, x, w: deformable_attention(v, sizes, x, w), (value, locations, weights)
    )


def test_samples_far_outside_give_zero():
    value = torch.ones(1, 4, 1, 2)
    locations = torch.full((1, 1, 1, 1, 1, 2), 1e4)
    assert (
        deformable_attention(value, [(2, 2)], locations, torch.ones(1, 1, 1, 1, 1)).abs().max() == 0
    )


def test_pixel_centres_are_x_then_y_as_fractions():
    centres = pixel_centres([(2, 4), (1, 1)], torch.empty(0, dtype=torch.bfloat16))
    assert centres.dtype == torch.float32
    assert centres[1].tolist() == [0.375, 0.25]  # second pixel of the first row
    assert centres[4].tolist() == [0.125, 0.75]
    assert centres[8].tolist() == [0.5, 0.5]


def test_layer_at_its_start_averages_rings_around_each_pixel():
    torch.manual_seed(0)
    layer = DeformableAttention(8, heads=4, levels=1, points=2)
    directions = layer.sampling_offsets.bias.detach().view(4, 1, 2, 2)[:, 0]
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(directions[:, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(directions[:, 1], 2 * expected, atol=1e-6, rtol=0)
    value = torch.randn(1, 49, 8)
    found = layer(torch.randn(1, 49, 8), [(7, 7)], value, [(7, 7)])[0, 24]  # the middle pixel
    projected = layer.value_proj(value)[0].view(7, 7, 4, 1)
    heads = [
        (projected[3 + y, 3 + x, m] + projected[3 + 2 * y, 3 + 2 * x, m]) / 2
        for m, (x, y) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)])
    ]
    torch.testing.assert_close(found, layer.output_proj(torch.cat(heads)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(value=(1, 5, 2, 2)), r'sizes \[\(2, 2\)\] need \(B, 4'),
        (dict(locations=(1, 3, 2, 1, 2)), 'levels, points, 2'),
        (dict(locations=(1, 3, 1, 1, 2, 2)), r'locations has .* \(1, 1, 1\)'),
        (dict(weights=(1, 3, 2, 1, 5)), 'weights has shape'),
    ],
)
def test_contradicting_shapes_are_named(change, message):
    shapes = dict(value=(1, 4, 2, 2), locations=(1, 3, 2, 1, 2, 2), weights=(1, 3, 2, 1, 2))
    arrays = {name: torch.zeros(shape) for name, shape in {**shapes, **change}.items()}
    with pytest.raises(ValueError, match=message):
        deformable_attention(arrays['value'], [(2, 2)], arrays['locations'], arrays['weights'])


def test_heads_must_share_the_channels():
    with pytest.raises(ValueError, match='3 heads cannot share 16 value channels'):
        DeformableAttention(32, heads=3, levels=1)
