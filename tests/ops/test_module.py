"""The layer: its start, half precision, and its names in released checkpoints."""

import pytest
import torch

from mmseg_uvpt.checkpoints.names import to_ours, to_released
from mmseg_uvpt.ops import DeformableAttention
from mmseg_uvpt.ops.reference import pixel_centres


def test_pixel_centres_are_x_then_y_as_fractions():
    centres = pixel_centres([(2, 4), (1, 1)], torch.empty(0, dtype=torch.bfloat16))
    assert centres.dtype == torch.float32
    assert centres[1].tolist() == [0.375, 0.25]  # second pixel of the first row
    assert centres[4].tolist() == [0.125, 0.75]
    assert centres[8].tolist() == [0.5, 0.5]


def test_layer_at_its_start_averages_rings_around_each_pixel(backend):
    torch.manual_seed(0)
    layer = DeformableAttention(8, heads=4, levels=1, points=2).to(backend)
    assert not layer.sampling.bias.detach().view(4, 2, 3)[..., 2].any()
    directions = layer.sampling.bias.detach().cpu().view(4, 2, 3)[..., :2]
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(directions[:, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(directions[:, 1], 2 * expected, atol=1e-6, rtol=0)
    value = torch.randn(1, 49, 8, device=backend)
    found = layer(torch.randn_like(value), [(7, 7)], value, [(7, 7)])[0, 24]  # the middle pixel
    projected = layer.value_proj(value)[0].view(7, 7, 4, 1)
    heads = [
        (projected[3 + y, 3 + x, m] + projected[3 + 2 * y, 3 + 2 * x, m]) / 2
        for m, (x, y) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)])
    ]
    torch.testing.assert_close(found, layer.output_proj(torch.cat(heads)), atol=1e-5, rtol=1e-4)


def test_heads_must_share_the_channels():
    with pytest.raises(ValueError, match='3 heads cannot share 16 value channels'):
        DeformableAttention(32, heads=3, levels=1)


def test_released_layers_become_one_and_go_back():
    """Offsets (heads, levels, points, (x, y)) and logits (heads, levels, points), as released."""
    torch.manual_seed(0)
    heads, levels, points, dim = 2, 3, 4, 8
    prefix = 'backbone.interactions.0.injector.attn.'
    released = {
        f'{prefix}sampling_offsets.weight': torch.randn(heads * levels * points * 2, dim),
        f'{prefix}sampling_offsets.bias': torch.randn(heads * levels * points * 2),
        f'{prefix}attention_weights.weight': torch.randn(heads * levels * points, dim),
        f'{prefix}attention_weights.bias': torch.randn(heads * levels * points),
    }
    ours = to_ours(released, prompted=True)
    own = 'backbone.adapters.0.injector.attn.'
    assert set(ours) == {f'{own}sampling.weight', f'{own}sampling.bias'}
    layer = DeformableAttention(dim, heads, levels, points)
    layer.load_state_dict(
        {name.removeprefix(own): tensor for name, tensor in ours.items()}, strict=False
    )
    query = torch.randn(5, dim)
    raw = layer.sampling(query).view(5, heads, levels, points, 3)
    for name, part in (('sampling_offsets', raw[..., :2]), ('attention_weights', raw[..., 2])):
        weight, bias = released[f'{prefix}{name}.weight'], released[f'{prefix}{name}.bias']
        torch.testing.assert_close(part.flatten(1), query @ weight.T + bias)
    back = to_released(ours)
    assert set(back) == set(released)
    assert all(torch.equal(back[name], released[name]) for name in released)
    # checkpoints of this project from before the layers were merged
    older = {name.replace('interactions', 'adapters'): t for name, t in released.items()}
    assert all(torch.equal(t, ours[n]) for n, t in to_ours(older, prompted=True).items())


def test_half_a_pair_of_released_layers_is_left_for_the_error_message():
    names = {'backbone.interactions.0.injector.attn.attention_weights.bias': torch.zeros(4)}
    found = to_ours(names, prompted=True)
    assert list(found) == ['backbone.adapters.0.injector.attn.attention_weights.bias']


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_keeps_neighbouring_pixels_apart(dtype, backend):
    """Locations as fractions in bfloat16 are a pixel apart at the far end of a 256 pixel row."""
    torch.manual_seed(0)
    layer = DeformableAttention(16, heads=2, levels=1).to(backend)
    size = [(2, 300)]
    query, value = (torch.randn(1, 600, 16, device=backend) for _ in range(2))
    with torch.no_grad():
        expected = layer(query, size, value, size)
        found = layer.to(dtype)(query.to(dtype), size, value.to(dtype), size)
    assert found.dtype == dtype
    error = (found.float() - expected).norm() / expected.norm()
    assert error < (2e-3 if dtype == torch.float16 else 2e-2)


def test_autocast(backend):
    torch.manual_seed(0)
    layer = DeformableAttention(16, heads=2, levels=1).to(backend)
    query, value = (torch.randn(2, 30, 16, device=backend) for _ in range(2))
    expected = layer(query, [(5, 6)], value, [(5, 6)])
    with torch.autocast(torch.device(backend).type, torch.bfloat16):
        found = layer(query, [(5, 6)], value, [(5, 6)])
    found.float().sum().backward()
    assert found.dtype == torch.bfloat16
    assert layer.sampling.weight.grad.dtype == torch.float32
    assert (found.float() - expected).norm() / expected.norm() < 2e-2
