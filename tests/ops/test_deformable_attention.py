"""Both entries, with each backend, against sums written out pixel by pixel."""

import math

import pytest
import torch

from mmseg_uvpt.ops import deformable_attention, fused_deformable_attention


def bilinear(level, x: float, y: float):
    """Sample a map (h, w, D) at pixel coordinates, zero outside."""
    h, w, _ = level.shape
    x0, y0 = math.floor(x), math.floor(y)
    total = torch.zeros_like(level[0, 0])
    for i, j in ((y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1)):
        if 0 <= i < h and 0 <= j < w:
            total = total + level[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return total


def direct_sum(value, sizes, places, weights):
    """Sum samples at ``places`` in pixels (B, Q, heads, levels, points, 2), one by one."""
    batch, queries, heads, _, points, _ = places.shape
    expected = torch.zeros(batch, queries, heads, value.shape[-1], dtype=value.dtype)
    for b in range(batch):
        for m in range(heads):
            levels = value[b, :, m].split([h * w for h, w in sizes])
            for q in range(queries):
                for level, (h, w) in enumerate(sizes):
                    for p in range(points):
                        x, y = places[b, q, m, level, p].tolist()
                        sample = bilinear(levels[level].view(h, w, -1), x, y)
                        expected[b, q, m] += weights[b, q, m, level, p] * sample
    return expected.flatten(2)


@pytest.mark.parametrize('sizes', [[(3, 5)], [(6, 4), (3, 2), (1, 1)]])
def test_classic_entry(sizes, backend):
    torch.manual_seed(0)
    batch, queries, heads, width, points = 2, 3, 2, 4, 3
    pixels = sum(h * w for h, w in sizes)
    value = torch.randn(batch, pixels, heads, width, dtype=torch.float64)
    locations = torch.rand(batch, queries, heads, len(sizes), points, 2, dtype=torch.float64)
    locations = locations * 3 - 1  # a good part of them outside
    weights = torch.rand(batch, queries, heads, len(sizes), points, dtype=torch.float64)
    places = locations * torch.tensor([(w, h) for h, w in sizes])[:, None] - 0.5
    found = deformable_attention(
        value.to(backend), sizes, locations.to(backend), weights.to(backend)
    )
    torch.testing.assert_close(found.cpu(), direct_sum(value, sizes, places, weights))


@pytest.mark.parametrize(
    ('value_sizes', 'query_sizes'),
    [([(3, 5)], [(6, 10), (3, 5), (2, 3)]), ([(6, 4), (3, 2), (1, 1)], [(3, 2)])],
)
def test_fused_entry(value_sizes, query_sizes, backend):
    """Reference points, softmax and offsets in pixels, each written out."""
    torch.manual_seed(0)
    batch, heads, width, points = 2, 2, 4, 3
    pixels, queries = (sum(h * w for h, w in sizes) for sizes in (value_sizes, query_sizes))
    value = torch.randn(batch, pixels, heads, width, dtype=torch.float64)
    raw = torch.randn(batch, queries, heads, len(value_sizes), points, 3, dtype=torch.float64) * 2
    places = raw[..., :2].clone()
    query = 0
    for rows, columns in query_sizes:
        for i in range(rows):
            for j in range(columns):
                for level, (h, w) in enumerate(value_sizes):
                    places[:, query, :, level, :, 0] += (j + 0.5) / columns * w - 0.5
                    places[:, query, :, level, :, 1] += (i + 0.5) / rows * h - 0.5
                query += 1
    powers = raw[..., 2].exp()
    weights = powers / powers.sum((3, 4), keepdim=True)
    found = fused_deformable_attention(value.to(backend), value_sizes, raw.to(backend), query_sizes)
    torch.testing.assert_close(found.cpu(), direct_sum(value, value_sizes, places, weights))


def test_gradients(backend):
    torch.manual_seed(0)
    sizes, query_sizes = [(3, 4), (2, 2)], [(1, 3)]
    double = dict(dtype=torch.float64, device=backend, requires_grad=True)
    value = torch.randn(1, 16, 2, 3, **double)
    locations = torch.rand(1, 3, 2, 2, 2, 2, **double)
    weights = torch.rand(1, 3, 2, 2, 2, **double)
    raw = torch.randn(1, 3, 2, 2, 2, 3, **double)
    assert torch.autograd.gradcheck(
        lambda v, x, w: deformable_attention(v, sizes, x, w), (value, locations, weights)
    )
    assert torch.autograd.gradcheck(
        lambda v, r: fused_deformable_attention(v, sizes, r, query_sizes), (value, raw)
    )


@pytest.mark.parametrize('far', [3.5, 1e4, 1e30])
def test_samples_outside_give_zero_and_no_gradient(far, backend):
    value = torch.ones(1, 4, 1, 2, device=backend, requires_grad=True)
    for place in ((far, 0), (-far, 0), (0, far), (0, -far)):
        raw = torch.zeros(1, 4, 1, 1, 1, 3, device=backend)
        raw[..., :2] = torch.tensor(place)
        raw.requires_grad_()
        found = fused_deformable_attention(value, [(2, 2)], raw, [(2, 2)])
        gradients = torch.autograd.grad(found.sum(), (value, raw))
        assert [float(t.abs().max()) for t in (found.detach(), *gradients)] == [0, 0, 0]


def test_what_is_no_number_stays_none(backend):
    """A diverged network must show, not be sampled at some border."""
    value = torch.ones(1, 4, 1, 4, device=backend)
    for position in range(3):
        raw = torch.zeros(1, 4, 1, 1, 2, 3, device=backend)
        raw[0, 1, 0, 0, 0, position] = math.nan
        found = fused_deformable_attention(value, [(2, 2)], raw, [(2, 2)])
        assert found[0, 1].isnan().all()
        assert not found[0, [0, 2, 3]].isnan().any()


BAD_CLASSIC = [
    (dict(value=(1, 5, 2, 2)), r'sizes \[\(2, 2\)\] need \(B, 4'),
    (dict(locations=(1, 3, 2, 1, 2)), 'levels, points, 2'),
    (dict(locations=(1, 3, 1, 1, 2, 2)), r'locations has .* \(1, 1, 1\)'),
    (dict(weights=(1, 3, 2, 1, 5)), 'weights has shape'),
]
BAD_FUSED = [
    (dict(value=(4, 2, 2)), r'need \(B, 4, heads, D\)'),
    (dict(raw=(1, 4, 2, 1, 2, 2)), 'levels, points, 3'),
    (dict(raw=(1, 4, 2, 1, 0, 3)), 'levels, points, 3'),
    (dict(raw=(2, 4, 2, 1, 2, 3)), r'raw has .* \(2, 2, 1\), value has \(1, 2, 1\)'),
    (dict(raw=(1, 5, 2, 1, 2, 3)), r'raw has 5 queries; query_sizes \[\(2, 2\)\] have 4'),
]


@pytest.mark.parametrize(('change', 'message'), BAD_CLASSIC)
def test_contradicting_shapes_are_named(change, message, backend):
    shapes = dict(value=(1, 4, 2, 2), locations=(1, 3, 2, 1, 2, 2), weights=(1, 3, 2, 1, 2))
    given = {k: torch.zeros(shape, device=backend) for k, shape in (shapes | change).items()}
    with pytest.raises(ValueError, match=message):
        deformable_attention(given['value'], [(2, 2)], given['locations'], given['weights'])


@pytest.mark.parametrize(('change', 'message'), BAD_FUSED)
def test_contradicting_raw_shapes_are_named(change, message, backend):
    shapes = dict(value=(1, 4, 2, 2), raw=(1, 4, 2, 1, 2, 3))
    given = {k: torch.zeros(shape, device=backend) for k, shape in (shapes | change).items()}
    with pytest.raises(ValueError, match=message):
        fused_deformable_attention(given['value'], [(2, 2)], given['raw'], [(2, 2)])


def test_two_devices_and_two_types_are_refused(backend):
    value = torch.zeros(1, 4, 2, 2, device=backend)
    raw = torch.zeros(1, 4, 2, 1, 2, 3, device='meta')
    locations = torch.zeros(1, 4, 2, 1, 2, 2, device=backend)
    with pytest.raises(ValueError, match=f'raw is on meta, value on {value.device}'):
        fused_deformable_attention(value, [(2, 2)], raw, [(2, 2)])
    with pytest.raises(ValueError, match='weights is on meta'):
        deformable_attention(value, [(2, 2)], locations, raw[..., 0])
    with pytest.raises(ValueError, match=r'raw is torch.float16, value torch.float32'):
        fused_deformable_attention(
            value, [(2, 2)], torch.zeros(raw.shape, dtype=torch.float16, device=backend), [(2, 2)]
        )
