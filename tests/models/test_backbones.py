"""The contract that every staged backbone meets, alone and with prompts."""

import pytest
import timm
import torch
from backbone_configs import BY_NAME, OURS, TIMM
from mmseg.models.backbones.swin import ShiftWindowMSA
from mmseg.registry import MODELS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints.loading import load_imagenet_weights
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.backbones import mit
from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.models.backbones.swin import ShiftedWindows
from mmseg_uvpt.models.backbones.timm.convnext import TimmConvNeXt
from mmseg_uvpt.ops.resizing import padded
from mmseg_uvpt.ops.tokens import as_map

SIZES = [(64, 96), (67, 93), (33, 65), (32, 32)]


@pytest.fixture(params=BY_NAME)
def staged_config(request):
    torch.manual_seed(0)
    return request.param


@pytest.fixture(params=TIMM)
def timm_config(request):
    torch.manual_seed(0)
    return request.param


def expected_sizes(backbone: StagedBackbone, height: int, width: int) -> list[tuple[int, int]]:
    if isinstance(backbone, TimmConvNeXt):  # it leaves out what does not fill a kernel
        return [(height // s, width // s) for s in backbone.strides]
    return [(-(-height // s), -(-width // s)) for s in backbone.strides]


@pytest.mark.parametrize('size', SIZES)
def test_any_size_forward_and_backward(staged_config, size):
    backbone = MODELS.build(staged_config)
    features = backbone(torch.randn(2, 3, *size))
    sizes = expected_sizes(backbone, *size)
    assert [tuple(f.shape[2:]) for f in features] == sizes
    if staged_config['type'] != 'TimmEfficientNet':
        assert [f.shape[1] for f in features] == list(backbone.widths)
    sum(f.square().mean() for f in features).backward()
    assert not [n for n, p in backbone.named_parameters() if p.grad is None]


@pytest.mark.parametrize('size', SIZES)
def test_what_timm_computes(timm_config, size):
    backbone = MODELS.build(timm_config).eval()
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        features = backbone(image)
        whole = padded(image, 4 if timm_config['type'] == 'TimmSwin' else backbone.patch)
        blocks = [end - 1 for end in backbone.ends] if timm_config['type'] == 'TimmViT' else None
        expected = backbone.net.forward_intermediates(
            whole, blocks, norm=True, intermediates_only=True
        )
    for found, wanted in zip(features, expected[-4:], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_names_are_timms(timm_config, tmp_path):
    """A file of timm's fits strictly, with its classifier or without."""
    backbone = MODELS.build(timm_config)
    kwargs = {k: v for k, v in timm_config.items() if k not in ('type', 'model')}
    other = timm.create_model(timm_config['model'], **kwargs)
    torch.save(other.state_dict(), tmp_path / 'timm.pth')
    load_imagenet_weights(backbone, tmp_path / 'timm.pth')
    held = backbone.net.state_dict()
    other_parts = tuple(part.removeprefix('net.') for part in backbone.classifier_parts)
    for name, tensor in other.state_dict().items():
        assert name.startswith(other_parts) or torch.equal(held[name], tensor)
    torch.save({'stem.weight': torch.zeros(1)}, tmp_path / 'wrong.pth')
    with pytest.raises(UserError, match='missing'):
        load_imagenet_weights(backbone, tmp_path / 'wrong.pth')


def test_models_that_timm_does_not_have():
    with pytest.raises(ValueError, match="no model 'convnext_huge_plus'; it has convnext_"):
        MODELS.build(dict(type='TimmConvNeXt', model='convnext_huge_plus'))
    with pytest.raises(ValueError, match='convnext_atto is a ConvNeXt, which is none of Eff'):
        MODELS.build(dict(type='TimmEfficientNet', model='convnext_atto'))
    with pytest.raises(
        ValueError, match=r"convnext_atto with these arguments: .*'strict_img_size'"
    ):
        MODELS.build(dict(type='TimmSwin', model='convnext_atto'))


@pytest.mark.parametrize('size', SIZES)
def test_prompts_any_size_forward_and_backward(staged_config, size):
    model = MODELS.build(dict(type='Prompts', staged=staged_config))
    model.staged.requires_grad_(False)
    features, prompts = model.features_and_prompts(torch.randn(2, 3, *size))
    sizes = expected_sizes(model.staged, *size)
    assert [tuple(f.shape[2:]) for f in features] == sizes
    assert [tuple(p.shape) for p in prompts] == [
        (2, width, *s) for width, s in zip(model.staged.widths, sizes, strict=True)
    ]
    sum(f.square().mean() for f in features).backward()
    unused = {
        n.split('.')[1] for n, p in model.named_parameters() if p.requires_grad and p.grad is None
    }
    assert not unused


@pytest.mark.parametrize('name', ['swin', 'mit'])
def test_images_smaller_than_a_reduction_window(name):
    model = MODELS.build(dict(type='Prompts', staged=OURS[name], heads=4)).eval()
    features = model(torch.randn(1, 3, 8, 5))
    assert [tuple(f.shape[2:]) for f in features] == [(2, 2), (1, 1), (1, 1), (1, 1)]


def test_without_injection_the_prompted_model_is_the_source_model(staged_config):
    model = MODELS.build(dict(type='Prompts', staged=staged_config)).eval()
    image = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        plain = model.staged(image)
        for adapter in model.adapters:
            adapter.injector.gamma.zero_()
        same, prompts = model.features_and_prompts(image)
        for adapter in model.adapters:
            adapter.injector.gamma.fill_(0.5)
        other = model(image)
        tokens, size = model.staged.enter(0, padded(image, model.staged.patch))
    for a, b, c in zip(plain, same, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.allclose(a, c, rtol=1e-2)
    of_map = tokens[:, model.staged.prefix_tokens :]
    assert torch.equal(prompts[0], as_map(of_map, size))


def test_gamma_starts_training_at_the_source_model(staged_config):
    model = MODELS.build(dict(type='Prompts', staged=staged_config)).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(model.staged(image), model(image), strict=True):
            assert (a - b).norm() / a.norm() < 1e-4


def test_one_image_does_not_see_the_other(staged_config):
    model = MODELS.build(dict(type='Prompts', staged=staged_config)).eval()
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
    layer = mit.ReducedAttention(16, heads=4, reduction=2, eps=1e-5).eval()
    tokens = torch.randn(2, 6 * 8, 16)
    reduced = layer.norm(layer.sr(as_map(tokens, (6, 8))).flatten(2).transpose(1, 2))
    q = layer.q(tokens).view(2, 48, 4, 4)
    k, v = layer.kv(reduced).chunk(2, -1)
    scores = torch.einsum('bqhd,bkhd->bhqk', q, k.view(2, 12, 4, 4)) / 2
    mixed = torch.einsum('bhqk,bkhd->bqhd', scores.softmax(-1), v.view(2, 12, 4, 4))
    expected = layer.proj(mixed.reshape(2, 48, 16))
    torch.testing.assert_close(layer(tokens, (6, 8)), expected, rtol=1e-5, atol=1e-6)
