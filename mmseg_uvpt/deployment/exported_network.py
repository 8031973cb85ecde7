"""What is exported of a segmentor: RGB images as files have them in, logits at their size out."""

import torch
from mmseg.models import SegDataPreProcessor
from torch import Tensor, nn

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.ops.resizing import resized


class ExportedNetwork(nn.Module):
    """A segmentor with its normalisation inside, so that no caller can get it wrong.

    Args:
        segmentor: in eval mode, on the CPU.

    Raises:
        UserError: it predicts by windows, or pads images: callers of a file would have to do both.
    """

    def __init__(self, segmentor: nn.Module):
        super().__init__()
        before = segmentor.data_preprocessor
        if (segmentor.test_cfg or {}).get('mode', 'whole') != 'whole':
            raise UserError(
                f'model.test_cfg.mode={segmentor.test_cfg["mode"]!r}: an exported file predicts '
                'whole images: --cfg-options model.test_cfg.mode=whole'
            )
        if not isinstance(before, SegDataPreProcessor) or before.test_cfg:
            raise UserError(
                f'model.data_preprocessor is a {type(before).__name__} with '
                f'test_cfg={getattr(before, "test_cfg", None)}: only a SegDataPreProcessor that '
                'does not pad is exported'
            )
        self.segmentor = segmentor
        # images are loaded as BGR; the second is of `acceleration.async_copies`
        swaps = before._channel_conversion or getattr(before, '_reverses_channels', False)
        self.takes_rgb = bool(swaps)
        normalises = before._enable_normalize
        mean, std = (before.mean, before.std) if normalises else (torch.zeros(3), torch.ones(3))
        self.register_buffer('mean', mean.float().view(-1, 1, 1), persistent=False)
        self.register_buffer('std', std.float().view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, float32 (B, classes, H, W), of RGB images, uint8 (B, 3, H, W)."""
        x = images.float()
        if not self.takes_rgb:
            x = x.flip(1)
        logits = self.segmentor((x - self.mean) / self.std, mode='tensor')
        return resized(logits, tuple(images.shape[2:]), self.segmentor.align_corners)

    def in_rgb(self, numbers: Tensor) -> list[float]:
        """Return the mean or the deviation in the order red, green, blue."""
        listed = numbers.flatten().tolist()
        return listed if self.takes_rgb else listed[::-1]


@torch.inference_mode()
def eager_logits(segmentor: nn.Module, images: Tensor) -> Tensor:
    """Return what the segmentor itself says of RGB images, through its own preprocessor.

    Args:
        segmentor: in eval mode.
        images: uint8 (B, 3, H, W).

    Returns:
        Tensor: float32 (B, classes, H, W).
    """
    batch = segmentor.data_preprocessor({'inputs': [*images.flip(1)], 'data_samples': None}, False)
    logits = segmentor(batch['inputs'], mode='tensor').float()
    return resized(logits, tuple(images.shape[2:]), segmentor.align_corners)
