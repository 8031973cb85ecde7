"""The contract that every staged backbone meets, alone and with prompts."""

import copy

import pytest
import torch
from mmseg.models.backbones.swin import ShiftWindowMSA
from mmseg.registry import MODELS

from mmseg_uvpt.models.backbones import mit
from mmseg_uvpt.models.backbones.staged import as_map, transposed
from mmseg_uvpt.models.backbones.swin import WindowAttention

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
    plain = ShiftWindowMSA(32, 4, window_size=4, shift_size=shift).double()
    plain.w_msa.relative_position_bias_table.data.normal_()
    plain.w_msa.qkv.bias.data.normal_()
    ours = WindowAttention(32, 4, (4, 4)).double()
    ours.load_state_dict(plain.w_msa.state_dict())
    x = torch.randn(2, size[0] * size[1], 32, dtype=torch.float64, requires_grad=True)
    expected, found = plain(x, size), ours(x, size, shift)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    gradients = [
        torch.autograd.grad(y, [x, *layer.parameters()], weights)
        for y, layer in ((expected, plain.w_msa), (found, ours))
    ]
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize('shape', [(2, 1500, 7), (1, 3, 2048), (3, 1, 1)])
def test_transposed_in_blocks(shape):
    x = torch.randn(shape)
    with torch.no_grad():
        found = transposed(x)
    assert torch.equal(found, x.transpose(1, 2))
    assert found.is_contiguous()
    x.requires_grad_()
    assert transposed(x).requires_grad


@pytest.mark.parametrize('fused', [False, True])
def test_an_evaluation_sees_the_tables_of_now(fused):
    """A fused optimiser changes them without telling: their version stays what it was."""
    torch.manual_seed(0)
    attention = WindowAttention(8, 2, (4, 4))
    optimizer = torch.optim.AdamW(attention.parameters(), lr=1.0, fused=fused)
    tokens = torch.randn(1, 64, 8)
    for _ in range(2):
        with torch.no_grad():
            found = attention(tokens, (8, 8), shift=2)
            expected = copy.deepcopy(attention)(tokens, (8, 8), shift=2)
        assert torch.equal(found, expected)
        attention(tokens, (8, 8), shift=2).square().sum().backward()
        optimizer.step()


def test_what_is_not_trained_is_added_to_scores_once(monkeypatch):
    """Made once a kind of window; made anew when the table changes, and with a gradient."""
    attention = WindowAttention(8, 2, (4, 4)).requires_grad_(False)
    table = attention.relative_position_bias_table
    made = []
    make = WindowAttention._made_bias

    def counted(self, *args):
        made.append(args)
        return make(self, *args)

    monkeypatch.setattr(WindowAttention, '_made_bias', counted)
    tokens = torch.randn(1, 64, 8)

    def attend(tokens=tokens):
        return attention(tokens, (8, 8), shift=2)

    with torch.inference_mode():
        first = attend()
    assert len(made) == 4  # in one piece, in the last row, in the last column, in both
    attend(tokens.clone().requires_grad_()).sum().backward()
    assert len(made) == 4
    torch.testing.assert_close(attend(), first.clone())
    table.add_(torch.arange(table.numel()).view_as(table))
    changed = attend()
    assert len(made) == 8
    assert not torch.allclose(changed, first)
    table.requires_grad_()
    attend().sum().backward()
    assert len(made) == 12
    assert table.grad.abs().sum() > 0
    other = copy.deepcopy(attention).requires_grad_(False)
    other.relative_position_bias_table.zero_()
    torch.testing.assert_close(
        other(tokens, (8, 8), shift=2), plain_bias(other, tokens), rtol=1e-5, atol=1e-6
    )


def plain_bias(attention, tokens):
    """Return what a fresh layer of the same parameters gives."""
    fresh = WindowAttention(8, 2, (4, 4))
    fresh.load_state_dict(attention.state_dict())
    return fresh(tokens, (8, 8), shift=2).detach()


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
