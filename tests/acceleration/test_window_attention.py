"""Attention within windows without padded maps: the numbers of mmseg, and what is kept."""

import copy

import pytest
import torch
from mmseg.models.backbones.swin import ShiftWindowMSA

from mmseg_uvpt.acceleration.window_attention import WindowAttention
from mmseg_uvpt.models.backbones.swin import ShiftedWindows
from mmseg_uvpt.models.tuners.windows_with_tokens import WindowsWithTokens


@pytest.mark.parametrize('size', [(8, 12), (9, 6), (3, 5)])
@pytest.mark.parametrize('shift', [0, 2])
def test_its_numbers_and_gradients_are_mmsegs(size, shift):
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


@pytest.mark.parametrize('size', [(8, 12), (9, 6)])
@pytest.mark.parametrize('shift', [0, 2])
def test_with_tokens_its_numbers_are_the_plain_ones(size, shift):
    torch.manual_seed(0)
    plain = ShiftedWindows(32, 4, window_size=4, shift_size=shift)
    for parameter in plain.parameters():
        parameter.data.normal_(std=0.3)
    ours = WindowAttention(32, 4, (4, 4)).double()
    ours.load_state_dict(plain.w_msa.state_dict())
    plain.w_msa = WindowsWithTokens(plain.w_msa)
    plain.double()
    x, tokens = (
        torch.randn(*shape, 32, dtype=torch.float64, requires_grad=True)
        for shape in ((2, size[0] * size[1]), (3,))
    )
    plain.w_msa.register_forward_pre_hook(lambda attention, given: (*given, tokens))
    expected, found = plain(x, size), ours(x, size, shift, tokens)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, ours(x, size, shift), rtol=0.1)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad(y, (x, tokens), weights) for y in (expected, found)]
    torch.testing.assert_close(gradients[1], gradients[0])


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


def test_copies_in_the_place_of_a_table_are_not_kept_for_one_another():
    """Their versions say nothing of which copy it is."""
    attention = WindowAttention(8, 2, (4, 4)).requires_grad_(False)
    tokens = torch.randn(1, 64, 8)
    table = attention.relative_position_bias_table
    for copy_of_it in (torch.zeros_like(table), torch.randn(table.shape)):
        attention._parameters['relative_position_bias_table'] = copy_of_it
        found = attention(tokens, (8, 8), shift=2)
        torch.testing.assert_close(found, plain_bias(attention, tokens), rtol=1e-5, atol=1e-6)
