"""What the parts of a model have to know of a graph that is made of them."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

_Kept = TypeVar('_Kept')


@dataclass
class Recording:
    """A CUDA graph that is being recorded.

    ``kept`` is what it reads without having made it. ``compile`` is given the parts marked with
    `fused` and returns what runs in their place; None leaves them as they are.
    """

    kept: list = field(default_factory=list)
    compile: Callable[[Callable], Callable] | None = None


RECORDING: ContextVar[Recording | None] = ContextVar('the CUDA graph in the making', default=None)


def is_recorded() -> bool:
    """Tell whether what runs now becomes part of a graph, of CUDA or of `torch.compile`."""
    # asked first, since a compiler may know nothing of context variables
    return torch.compiler.is_compiling() or RECORDING.get() is not None


def predicts_on_cpu(x: torch.Tensor) -> bool:
    """Tell whether a pass without gradients runs on a CPU as it is, in no graph."""
    return x.device.type == 'cpu' and not torch.is_grad_enabled() and not is_recorded()


def kept_for_graph(cached: _Kept) -> _Kept:
    """Return what a cache holds on the device; a CUDA graph that is recorded now holds it as well.

    A graph knows where it lies, and reads it there when the cache has long dropped it.
    """
    if not torch.compiler.is_compiling() and (recording := RECORDING.get()) is not None:
        recording.kept.append(cached)
    return cached


def fused(run: Callable) -> Callable:
    """Mark a part of a model that a compiler may make a few kernels of, in place of many.

    It does so where a training's CUDA graph is recorded, for each combination of shapes; otherwise
    the part runs as it is. A part that occurs many times, with other weights, is compiled once: it
    should not depend on numbers that differ each time, but for tensors.

    Args:
        run: a function, or a method of a module. It must not draw numbers on the CPU.

    Returns:
        Callable: the same function.
    """

    @functools.wraps(run)
    def part(*args: Any):
        if not torch.compiler.is_compiling():
            recording = RECORDING.get()
            if recording is not None and recording.compile is not None:
                return recording.compile(run)(*args)
        return run(*args)

    return part
