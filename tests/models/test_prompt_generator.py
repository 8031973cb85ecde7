"""The prompt generator."""

import pytest
import torch

from mmseg_uvpt.models.prompts.generator import STRIDES, PromptGenerator


@pytest.mark.parametrize('size', [(64, 96), (37, 51), (1, 2)])
def test_a_pass_that_only_predicts_gives_the_same_pyramid(size):
    """Maxima are found in another way then, bit for bit the same."""
    torch.manual_seed(0)
    generator = PromptGenerator(8, channels=4).eval()
    image = torch.randn(2, 3, *size)
    expected = generator(image)
    with torch.no_grad():
        found = generator(image)
    for level, same, stride in zip(expected, found, STRIDES, strict=True):
        assert level.requires_grad
        assert level.shape == (2, 8, *(-(-side // stride) for side in size))
        assert torch.equal(level, same)


def test_maxima_that_are_no_number_stay_none():
    """As torch's own pooling has it, so that a pass can tell that its model has diverged."""
    generator = PromptGenerator(8, channels=4).eval()
    image = torch.randn(1, 3, 16, 16)
    image[0, 0, 8, 8] = float('nan')
    with torch.no_grad():
        found = generator(image)
    for level, same in zip(generator(image), found, strict=True):
        assert level.isnan().any()
        assert torch.equal(level.isnan(), same.isnan())
