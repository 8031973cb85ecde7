"""Plain source models are exported once for images of all sizes."""

import pytest
import torch
from torch import nn
from torch.export import Dim

SMALL_SWIN = {
    'backbone.embed_dims': 16,
    'backbone.depths': (2, 1, 1, 1),
    'backbone.num_heads': (1, 2, 4, 8),
    'backbone.window_size': 4,
    'decode_head.in_channels': (16, 32, 64, 128),
}


class Network(nn.Module):
    """Images (B, 3, H, W) to logits."""

    def __init__(self, segmentor: nn.Module):
        super().__init__()
        self.segmentor = segmentor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.segmentor(images, mode='tensor')


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'changes'), [('swin-nano', SMALL_SWIN), ('mit-nano', {})])
def test_height_and_width_are_open(name, changes, build):
    """No other size is a multiple of the strides or windows, as that of the example is."""
    torch.manual_seed(0)
    network = Network(build(f'{name}_source', changes)).eval()
    sides = {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    # several windows of a stage are another graph than a single one, as a batch is than an image
    image = torch.randn(1, 3, 160, 288)
    with torch.no_grad():
        program = torch.export.export(network, (image,), dynamic_shapes=(sides,), strict=False)
        exported = program.module()
        for size in ((150, 230), (257, 131), (133, 333)):
            image = torch.randn(1, 3, *size)
            expected = network(image)
            assert expected.std() > 1e-3
            torch.testing.assert_close(exported(image), expected, rtol=1e-5, atol=1e-6)
