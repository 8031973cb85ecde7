"""Depthwise convolutions by shifts of the map."""

import copy

import pytest
import torch
from torch import nn

from mmseg_uvpt.acceleration.depthwise import Depthwise, is_depthwise, runs_shifted, shifted


@pytest.mark.parametrize('dilation', [6, 18])
@pytest.mark.parametrize('threads', [1, 2])
def test_dilated_depthwise_convolutions(dilation, threads):
    """Summed shift by shift they give what torch gives; with gradients they are torch's."""
    before = torch.get_num_threads()
    torch.manual_seed(0)
    conv = Depthwise(40, 40, 3, padding=dilation, dilation=dilation, groups=40, bias=False)
    x = torch.randn(2, 40, 20, 33)
    try:
        torch.set_num_threads(threads)
        expected = conv(x)
        with torch.no_grad():
            found = conv(x)
            half = conv(x.bfloat16().to(torch.float32))
            with torch.autocast('cpu', torch.bfloat16):
                autocast = conv(x)
    finally:
        torch.set_num_threads(before)
    assert expected.requires_grad
    assert torch.equal(found, expected)  # to the bit, as passes in float32 promise
    assert autocast.dtype == torch.bfloat16
    torch.testing.assert_close(autocast.float(), half, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(('kernel', 'padding'), [(3, 3), (2, 3), (3, 1)])
def test_those_that_change_the_size_of_maps_stay_as_they_are(kernel, padding):
    conv = nn.Conv2d(8, 8, kernel, padding=padding, dilation=2, groups=8, bias=False)
    assert not is_depthwise(conv)


@pytest.mark.parametrize(
    ('kernel', 'dilation', 'bias'), [(3, 1, True), (3, 6, False), (5, 2, True)]
)
def test_shifts_give_the_convolution_and_its_gradients(kernel, dilation, bias):
    """What is compiled for a GPU, here uncompiled."""
    torch.manual_seed(0)
    padding = dilation * (kernel // 2)
    layer = Depthwise(8, 8, kernel, 1, padding, dilation, 8, bias)
    other = copy.deepcopy(layer)
    x = torch.randn(2, 8, 9, 13, requires_grad=True)
    y = torch.randn(2, 8, 9, 13)
    found = shifted(other, x, other.weight, other.bias, torch.float32)
    expected = layer(x)
    torch.testing.assert_close(found, expected)
    grads = [
        torch.autograd.grad(out, [x, *module.parameters()], y)
        for out, module in ((found, other), (expected, layer))
    ]
    torch.testing.assert_close(*grads)
    half = shifted(other, x, other.weight, other.bias, torch.bfloat16)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ('layer', 'expected'),
    [
        (Depthwise(8, 8, 3, padding=1, groups=8), True),
        (nn.Conv2d(8, 8, 3, padding=6, dilation=6, groups=8), True),
        (nn.Conv2d(8, 8, 3, 2, padding=1, groups=8), False),
        (nn.Conv2d(8, 8, 3, groups=8), False),
        (nn.Conv2d(8, 8, 3, padding=1, groups=4), False),
        (nn.Conv2d(8, 16, 3, padding=1, groups=8), False),
        (nn.Conv2d(8, 8, 3, padding='same', groups=8), False),
        (nn.Conv2d(8, 8, 2, groups=8), False),
        (nn.Conv2d(8, 8, 4, padding=1, groups=8), False),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8, padding_mode='reflect'), False),
    ],
)
def test_other_convolutions_are_left_alone(layer, expected, monkeypatch):
    class OnGpu:
        is_cuda = True

    assert not runs_shifted(layer, OnGpu)
    monkeypatch.setattr(torch.compiler, 'is_compiling', lambda: True)
    assert runs_shifted(layer, OnGpu) == expected
    assert not runs_shifted(layer, torch.zeros(1))
