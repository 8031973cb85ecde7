"""Learned tokens: attention reads them as the paper says, and everything else is as it was."""

import pytest
import torch
from backbone_configs import _TIMM, OURS
from mmseg.registry import MODELS
from torch import nn

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.ops.resizing import padded

BACKBONES = OURS | {name: x for name, x in _TIMM.items() if x['type'] == 'TimmViT'}
SIZE = 67, 93
COUNT = 5


@pytest.fixture(
    params=[
        pytest.param(name, marks=() if name in ('mit', 'dinov3') else pytest.mark.slow)
        for name in BACKBONES
    ]
)
def staged(request) -> dict:
    """The config of a backbone that has attention."""
    return BACKBONES[request.param]


@pytest.fixture(params=[True, False], ids=['deep', 'shallow'])
def deep(request) -> bool:
    return request.param


def prompted(staged: dict, deep: bool, count: int = COUNT):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='TokenPrompts', staged=staged, tokens=count, deep=deep))
    for name, parameter in model.staged.named_parameters():
        if name.rpartition('.')[2].startswith('gamma'):  # of layers that DINO nearly leaves out
            nn.init.ones_(parameter)
    model.eval()
    return model


def test_of_no_token_it_is_the_source_model(staged, deep):
    model = prompted(staged, deep, count=0)
    torch.manual_seed(0)
    source = MODELS.build(staged)
    source.load_state_dict(model.staged.state_dict())
    source.eval()
    image = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        for found, expected in zip(model(image), source(image), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', ['vit', 'dinov3', 'eva02', 'dinov2-registers'])
def test_a_sequence_of_tokens_in_timms_own_blocks(name, deep):
    """They come after the prefix, each block has its own or the first ones', without a rotation."""
    model = prompted(BACKBONES[name], deep)
    image = padded(torch.randn(2, 3, *SIZE), model.staged.patch)
    torch.manual_seed(0)
    source = MODELS.build(BACKBONES[name])
    source.load_state_dict(model.staged.state_dict())
    source.eval()
    before, net = source.prefix_tokens, source.net
    own = [tokens.weight.expand(2, -1, -1) for tokens in model.tokens]
    assert len(own) == (len(net.blocks) if deep else 1)
    expected = []
    with torch.no_grad():
        found = model(image)
        x, size = source.enter(0, image)
        how = {}
        if hasattr(net, 'rope'):
            sin, cos = net.rope.get_embed(shape=size).chunk(2, -1)
            still = torch.zeros_like(sin[:COUNT]), torch.ones_like(cos[:COUNT])
            how = {'rope': torch.cat([torch.cat([still[0], sin]), torch.cat([still[1], cos])], -1)}
        x = torch.cat([x[:, :before], own[0], x[:, before:]], 1)
        for number, block in enumerate(net.blocks):
            if deep:
                x = torch.cat([x[:, :before], own[number], x[:, before + COUNT :]], 1)
            x = block(x, **how)
            if number + 1 in source.ends:
                expected.append(net.norm(x)[:, before + COUNT :].mT.unflatten(2, size))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_window_of_swin_reads_tokens_without_a_position():
    model = prompted(OURS['swin'], deep=True)
    block, own = model.staged.stages[0].blocks[1], model.tokens[1].weight
    attention, heads = block.attn.w_msa, 2
    nn.init.normal_(attention.relative_position_bias_table)
    windows, mask = torch.randn(6, 16, 16), torch.randn(3, 16, 16)
    with torch.no_grad():
        found = attention(windows, mask)
        index = attention.relative_position_index.flatten()
        bias = attention.relative_position_bias_table[index].view(16, 16, heads)
        for number, (window, expected) in enumerate(zip(windows, found, strict=True)):
            context = torch.cat([block.norm1(own), window])
            qkv = attention.qkv(context).view(COUNT + 16, 3, heads, 8)
            parts = []
            for head in range(heads):
                query, key, value = qkv[:, :, head].unbind(1)
                scores = query[COUNT:] @ key.T / 8**0.5
                scores[:, COUNT:] += bias[..., head] + mask[number % 3]
                parts.append(scores.softmax(1) @ value)
            torch.testing.assert_close(expected, attention.proj(torch.cat(parts, 1)))


def test_tokens_are_keys_and_values_of_mit():
    model = prompted(OURS['mit'], deep=True)
    for stage in (0, 3):  # with a reduced map, and without
        block = getattr(model.staged, f'block{stage + 1}')[0]
        tokens, given = torch.randn(2, 12 * 8, block.norm1.normalized_shape[0]), []
        handle = block.attn.kv.register_forward_pre_hook(lambda _, x, given=given: given.append(x))
        with torch.no_grad():
            block.attn(tokens, (12, 8))
            norm = block.attn.norm if stage == 0 else block.norm1
            expected = norm(model.tokens[stage].weight)
        handle.remove()
        (keys,) = given[0]
        assert keys.shape[1] == COUNT + (1 if stage == 0 else 12 * 8)
        assert torch.equal(keys[1, :COUNT], expected)


def test_tokens_begin_as_published():
    weight = torch.cat([x.weight for x in prompted(OURS['mit'], deep=False, count=2000).tokens])
    bound = (6 / (3 * 4**2 + 16)) ** 0.5
    assert 0.99 * bound < weight.abs().max() <= bound
    torch.testing.assert_close(weight.std(), torch.tensor(bound / 3**0.5), rtol=0.02, atol=0)


@pytest.mark.parametrize(
    'staged',
    [dict(type='ResNet', depth=18), _TIMM['pvt'], _TIMM['swin-timm']],
    ids=lambda x: x['type'],
)
def test_other_backbones_are_refused(staged):
    match = f'fits the attention of StagedSwin, StagedMiT and TimmViT, and {staged["type"]} is none'
    with pytest.raises(ValueError, match=match):
        MODELS.build(dict(type='TokenPrompts', staged=staged))
