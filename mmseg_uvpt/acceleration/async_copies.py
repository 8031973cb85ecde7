"""Copies between main memory and a GPU, which the processor does not wait for."""

import torch
from mmengine.structures import BaseDataElement
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class AsyncPreprocessor(SegDataPreProcessor):
    """mmseg's preprocessor that lets the processor go on while a GPU gets its images and labels.

    mmseg waits three times an iteration, each time for all that the GPU has still to do: for the
    copy of the images, for that of the labels, and to swap the channels.

    Args:
        **kwargs: of mmseg's `SegDataPreProcessor`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.take_over()

    def take_over(self) -> None:
        """Be what mmseg's preprocessor of these attributes was."""
        self._non_blocking = True
        self._reverses_channels, self._channel_conversion = self._channel_conversion, False

    def cast_data(self, data):
        """Copy tensors and data samples in dicts and lists, however nested, to the device."""
        if self.device.type == 'cuda' and isinstance(data, Tensor | BaseDataElement):
            data = _pinned(data)  # a copy from other memory would be waited for
        return super().cast_data(data)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Copy, swap channels, normalise, stack and pad, as mmseg does."""
        data = self.cast_data(data)
        if self._reverses_channels:
            data = {**data, 'inputs': [x.flip(0) if len(x) == 3 else x for x in data['inputs']]}
        return super().forward(data, training)


def _pinned(data: Tensor | BaseDataElement) -> Tensor | BaseDataElement:
    """Return tensors, or all those of a sample, in memory that a GPU reads by itself."""
    if isinstance(data, Tensor):
        return data if data.is_cuda else data.pin_memory()
    pinned = data.new()
    for name, value in data.items():
        if isinstance(value, Tensor | BaseDataElement):
            pinned.set_data({name: _pinned(value)})
    return pinned


class HostCopy:
    """Copies of tensors in main memory, made beside what the GPU computes next.

    Args:
        *tensors: of one device; on a CPU they are taken as they are.
    """

    def __init__(self, *tensors: Tensor):
        self._copies = tuple(x.to('cpu', non_blocking=True) for x in tensors)
        self._made = None
        if tensors[0].is_cuda:
            self._made = torch.cuda.Event()
            self._made.record()

    def wait(self) -> tuple[Tensor, ...]:
        """Return the copies, once they are there."""
        if self._made is not None:
            self._made.synchronize()
        return self._copies
