"""The contract that every staged backbone meets, alone and with prompts."""

import pytest
import torch
from mmseg.models.backbones.swin import ShiftWindowMSA
from mmseg.registry import MODELS

from mmseg_uvpt.models.backbones import mit
from mmseg_uvpt.models.backbones.swin import ShiftedWindows
from mmseg_uvpt.ops.tokens import as_map

WIDTHS = (16, 32, 64, 128)
STAGED = {
    'swin': dict(
        type='StagedSwin',
        embed_dims=16,
        depths=(2,) * 4,
        num_heads=(2, 2, 4, 4),
        window_size=4,
        drop_path_rate=0.1,
    ),
    'mit': dict(
        type='StagedMiT', widths=WIDTHS, depths=(1,) * 4, num_heads=(1, 2, 4, 8), drop_path_rate=0.1
    ),
    'pvt': dict(
        type='StagedPVT', widths=WIDTHS, depths=(1,) * 4, num_heads=(1, 2, 4, 8), drop_path_rate=0.1
    ),
}
SIZES = [(64, 96), (67, 93), (33, 65), (32, 32)]


@pytest.fixture(params=STAGED)
def staged_config(request):
    torch.manual_seed(0)
    return STAGED[request.param]


def expected_sizes(height: int, width: int) -> list[tuple[int, int]]:
    return [(-(-height // s), -(-width // s)) for s in (4, 8, 16, 32)]


@pytest.mark.parametrize('size', SIZES)
def test_any_size_forward_and_backward(staged_config, size):
    backbone = MODELS.build(staged_config)
    features = backbone(torch.randn(2, 3, *size))
    assert [f.shape for f in features] == [
        (2, width, *s) for width, s in zip(WIDTHS, expected_sizes(*size), strict=True)
    ]
    assert backbone.widths == WIDTHS
    sum(f.square().mean() for f in features).backward()
    unused = [n for n, p in backbone.named_parameters() if p.grad is None]
    assert not unused


@pytest.mark.parametrize('size', SIZES)
def test_prompts_any_size_forward_and_backward(staged_config, size):
    model = MODELS.build(dict(type='PromptedBackbone', staged=staged_config, heads=4))
    features, prompts = model.features_and_prompts(torch.randn(2, 3, *size))
    assert [f.shape for f in features] == [p.shape for p in prompts]
    assert [tuple(f.shape[2:]) for f in features] == expected_sizes(*size)
    sum(f.square().mean() for f in features).backward()
    unused = {
        n.split('.')[1] for n, p in model.named_parameters() if p.requires_grad and p.grad is None
    }
    assert not unused


@pytest.mark.parametrize('name', ['swin', 'mit'])
def test_images_smaller_than_a_reduction_window(name):
    model = MODELS.build(dict(type='PromptedBackbone', staged=STAGED[name], heads=4)).eval()
    features = model(torch.randn(1, 3, 8, 5))
    assert [tuple(f.shape[2:]) for f in features] == [(2, 2), (1, 1), (1, 1), (1, 1)]


def test_without_injection_the_prompted_model_is_the_source_model(staged_config):
    model = MODELS.build(dict(type='PromptedBackbone', staged=staged_config, heads=4)).eval()
    image = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        plain = model.staged(image)
        for adapter in model.adapters:
            adapter.injector.gamma.zero_()
        same, prompts = model.features_and_prompts(image)
        for adapter in model.adapters:
            adapter.injector.gamma.fill_(0.5)
        other = model(image)
        tokens, size = model.staged.enter(0, image)
    for a, b, c in zip(plain, same, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.allclose(a, c, rtol=1e-2)
    assert torch.equal(prompts[0], as_map(tokens, size))


def test_gamma_starts_training_at_the_source_model(staged_config):
    model = MODELS.build(dict(type='PromptedBackbone', staged=staged_config, heads=4)).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(model.staged(image), model(image), strict=True):
            assert (a - b).norm() / a.norm() < 1e-4


def test_one_image_does_not_see_the_other(staged_config):
    model = MODELS.build(dict(type='PromptedBackbone', staged=staged_config, heads=4)).eval()
    images = torch.randn(2, 3, 40, 56)
    with torch.no_grad():
        both = model(images)
        single = model(images[1:])
    for a, b in zip(both, single, strict=True):
        torch.testing.assert_close(a[1:], b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(8, 12), (9, 6), (3, 5)])
@pytest.mark.parametrize('shift', [0, 2])
def test_window_attention_is_mmsegs(size, shift):
    torch.manual_seed(0)
    kinds = (ShiftWindowMSA, ShiftedWindows)
    layers = [kind(32, 4, window_size=4, shift_size=shift) for kind in kinds]
    layers[0].w_msa.relative_position_bias_table.data.normal_()
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(2, size[0] * size[1], 32)
    expected, found = (layer(x, size) for layer in layers)
    torch.testing.assert_close(found, expected)


def test_reduced_attention_is_softmax_attention():
    torch.manual_seed(0)
    layer = mit.ReducedAttention(16, heads=4, reduction=2).eval()
    tokens = torch.randn(2, 6 * 8, 16)
    reduced = layer.norm(layer.sr(as_map(tokens, (6, 8))).flatten(2).transpose(1, 2))
    q = layer.q(tokens).view(2, 48, 4, 4)
    k, v = layer.kv(reduced).chunk(2, -1)
    scores = torch.einsum('bqhd,bkhd->bhqk', q, k.view(2, 12, 4, 4)) / 2
    mixed = torch.einsum('bhqk,bkhd->bqhd', scores.softmax(-1), v.view(2, 12, 4, 4))
    expected = layer.proj(mixed.reshape(2, 48, 16))
    torch.testing.assert_close(layer(tokens, (6, 8)), expected, rtol=1e-5, atol=1e-6)
