"""Tokens and maps."""

import pytest
import torch

from mmseg_uvpt.ops.tokens import transposed


@pytest.mark.parametrize('shape', [(2, 1500, 7), (1, 3, 2048), (3, 1, 1)])
def test_transposed_in_blocks(shape):
    x = torch.randn(shape)
    with torch.no_grad():
        found = transposed(x)
    assert torch.equal(found, x.transpose(1, 2))
    assert found.is_contiguous()
    x.requires_grad_()
    assert transposed(x).requires_grad
