"""Where the learned pixels lie on images of other sizes than theirs."""

import pytest
import torch
from backbone_configs import OURS
from mmseg.registry import MODELS
from torch import nn

import mmseg_uvpt.register  # noqa: F401


def make(**how):
    return MODELS.build(dict(type='PixelPrompt', staged=OURS['mit'], **how))


@pytest.mark.parametrize('size', [(16, 24), (9, 40), (2, 5)])
def test_a_frame_keeps_its_width(size):
    model = make(width=3, size=(16, 16))
    for parameter, first in ((model.rows, 1.0), (model.columns, 100.0)):
        nn.init.constant_(parameter[0], first)
        nn.init.constant_(parameter[1], 10 * first)
    found = model.perturbation(*size)
    y, x = torch.meshgrid(*(torch.arange(n) for n in size), indexing='ij')
    expected = (y < 3) * 1.0 + (y >= size[0] - 3) * 10.0
    expected = expected + (x < 3) * 100.0 + (x >= size[1] - 3) * 1000.0
    torch.testing.assert_close(found, expected.expand(1, 3, -1, -1))


def test_the_outermost_pixels_stay_outermost():
    model = make(width=3, size=(16, 16))
    with torch.no_grad():
        model.rows[1, :, 2] = 1
        model.columns[1, :, :, 2] = 1
        found = model.perturbation(20, 30)[0, 0]
    assert found[-1, :-1].eq(1).all()
    assert found[:-1, -1].eq(1).all()
    assert not found[:-1, :-1].any()


def test_a_full_perturbation_is_resized_and_added():
    model = make(kind='full', size=(8, 8))
    model.eval()
    nn.init.normal_(model.pixels)
    image = torch.randn(2, 3, 33, 50)
    whole = nn.functional.interpolate(model.pixels, (33, 50), mode='bilinear')
    with torch.no_grad():
        for found, expected in zip(model(image), model.staged(image + whole), strict=True):
            assert torch.equal(found, expected)


def test_arguments_that_make_no_prompt():
    with pytest.raises(ValueError, match="kind='border': must be one of frame, full"):
        make(kind='border')
    with pytest.raises(ValueError, match=r'width=0, size=.* one at the least'):
        make(width=0)
