"""Models of names, types and shapes alone, built in no time and without memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode


@contextmanager
def shapes_only() -> Iterator[None]:
    """Build what is built within on torch's meta device, numbers without which it cannot be apart.

    The backbones read their drop path rates off a `torch.linspace`, which needs values.
    """
    with torch.device('meta'), _ValuesOfRanges():
        yield


class _ValuesOfRanges(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.linspace:
            kwargs = {'device': 'cpu', **kwargs}
        return func(*args, **kwargs)
