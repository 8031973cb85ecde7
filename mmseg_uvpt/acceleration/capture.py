"""What faster modules have to know of a graph that is captured of them."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

_Read = TypeVar('_Read')


@dataclass
class Capture:
    """A CUDA graph that is being captured.

    ``read`` is what it reads without having made it. ``compile`` is given the functions marked with
    `compile_region` and returns what runs in their place; None leaves them as they are.
    """

    read: list = field(default_factory=list)
    compile: Callable[[Callable], Callable] | None = None


CAPTURE: ContextVar[Capture | None] = ContextVar('the CUDA graph being captured', default=None)


def is_captured() -> bool:
    """Tell whether what runs now becomes part of a graph, of CUDA or of `torch.compile`."""
    # asked first, since a compiler may know nothing of context variables
    return torch.compiler.is_compiling() or CAPTURE.get() is not None


def read_by_graph(cached: _Read) -> _Read:
    """Return what a cache has on the device; a CUDA graph that is captured now keeps it as well.

    A graph knows where it lies, and reads it there when the cache has long dropped it.
    """
    if not torch.compiler.is_compiling() and (capture := CAPTURE.get()) is not None:
        capture.read.append(cached)
    return cached


def compile_region(run: Callable) -> Callable:
    """Mark a function that a compiler may make a few kernels of, in place of many.

    It does so where a training's CUDA graph is captured, for each combination of shapes; otherwise
    the function runs as it is. What occurs many times, with other weights, is compiled once: it
    should not depend on numbers that differ each time, but for tensors.

    Args:
        run: a function, or a method of a module. It must not draw numbers on the CPU.

    Returns:
        Callable: the same function.
    """

    @functools.wraps(run)
    def region(*args: Any):
        if not torch.compiler.is_compiling():
            capture = CAPTURE.get()
            if capture is not None and capture.compile is not None:
                return capture.compile(run)(*args)
        return run(*args)

    return region
