"""What the parts of a model have to know of a graph that is made of them."""

from contextvars import ContextVar
from typing import TypeVar

import torch

_Kept = TypeVar('_Kept')
# what the CUDA graph that is being recorded reads without having made it; None if there is none
RECORDING: ContextVar[list | None] = ContextVar('what a CUDA graph keeps', default=None)


def is_recorded() -> bool:
    """Tell whether what runs now becomes part of a graph, of CUDA or of `torch.compile`."""
    # asked first, since a compiler may know nothing of context variables
    return torch.compiler.is_compiling() or RECORDING.get() is not None


def kept_for_graph(cached: _Kept) -> _Kept:
    """Return what a cache holds on the device; a CUDA graph that is recorded now holds it as well.

    A graph knows where it lies, and reads it there when the cache has long dropped it.
    """
    if not torch.compiler.is_compiling() and (kept := RECORDING.get()) is not None:
        kept.append(cached)
    return cached
