"""Resizing, whose gradient on a GPU is a product of matrices."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_uvpt.ops.resizing import _Resized, resized

LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('size', [(20, 12), (3, 4), (11, 1), (5, 18)])
def test_the_gradient_is_that_of_interpolate(size, align_corners, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    y = F.interpolate(x, size, mode='bilinear', align_corners=align_corners)
    grad = torch.randn_like(y).contiguous(memory_format=layout)
    (expected,) = torch.autograd.grad(y, x, grad)
    found = _Resized.apply(x, size, align_corners)
    torch.testing.assert_close(found, y, rtol=0, atol=0)
    (found,) = torch.autograd.grad(found, x, grad)
    # shares are computed in float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('apply', [resized, _Resized.apply])
def test_autocast_leaves_the_type_alone(apply):
    """In the gradient as well, which is made while views are captured under autocast."""
    x = torch.randn(1, 3, 4, 4, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        for dtype in (torch.float32, torch.bfloat16):
            y = apply(x.to(dtype), (8, 8), False)
            assert y.dtype == dtype
        y = apply(x, (9, 9), True)
        (found,) = torch.autograd.grad(y.square().sum(), x)
    y = F.interpolate(x, (9, 9), mode='bilinear', align_corners=True)
    (expected,) = torch.autograd.grad(y.square().sum(), x)
    torch.testing.assert_close(found, expected)


def test_what_has_the_size_stays_as_it_is():
    x = torch.randn(1, 3, 4, 4)
    assert resized(x, (4, 4), align_corners=False) is x


@pytest.mark.gpu
@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_gradient_on_a_gpu(dtype, layout):
    torch.manual_seed(0)
    x = torch.randn(1, 16, 8, 16, device='cuda')
    grad = torch.randn(1, 16, 32, 64, device='cuda')
    found = []
    for run, kind in ((F.interpolate, torch.float64), (resized, dtype)):
        given = x.to(dtype).to(kind).contiguous(memory_format=layout).requires_grad_()
        if run is resized:
            y = resized(given, (32, 64), align_corners=False)
        else:
            y = F.interpolate(given, (32, 64), mode='bilinear', align_corners=False)
        (g,) = torch.autograd.grad(
            y, given, grad.to(dtype).to(kind).contiguous(memory_format=layout)
        )
        found.append(g.double())
    error = (found[1] - found[0]).norm() / found[0].norm()
    assert error < (5e-3 if dtype == torch.bfloat16 else 1e-6)
