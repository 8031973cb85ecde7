"""Parts of a model captured in CUDA graphs: a GPU then starts their kernels without being told to.

A view of Swin-B has thousands of short kernels, and telling a GPU of each takes longer than most of
them run. A graph is captured once, for tensors of one size at fixed places in memory, and replayed
with a single call. What runs while it is captured must neither depend on numbers that are drawn or
read on the CPU nor wait for the GPU.
"""

import copy
import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch._dynamo
from mmengine.logging import print_log
from torch import Tensor, nn

from mmseg_uvpt.acceleration.capture import CAPTURE, Capture
from mmseg_uvpt.acceleration.frozen import cache_cast_weights
from mmseg_uvpt.acceleration.running_statistics import kept_statistics, put_back
from mmseg_uvpt.errors import first_line
from mmseg_uvpt.ops.backends import autocast_type

_WARM_UP = 3  # runs before capturing, in which libraries choose their kernels
SHAPES = 8  # of images that graphs are kept of: each holds memory
VARIANTS = 256  # of a part that is compiled: kinds of blocks, their shapes, and views


@functools.cache
def _compiled(part: Callable) -> Callable:
    """Return a part compiled by inductor, with the random numbers that it draws uncompiled."""
    options = {'fallback_random': True}
    return torch.compile(part, fullgraph=True, dynamic=False, options=options)


class CaptureError(Exception):
    """A model cannot be captured; the message says why."""


@contextmanager
def _capturing(x: Tensor, regions: bool = False) -> Iterator[list]:
    """Prepare for capturing, and yield what the graph has to keep.

    Random numbers and the current stream stay as they were, autocast keeps no copies.

    Args:
        x: what will be given to what is captured.
        regions: whether the parts marked with `capture.compile_region` are compiled.

    Raises:
        CaptureError: in place of what CUDA or torch raise.
    """
    dtype = autocast_type(x)
    autocast = torch.autocast(
        x.device.type, dtype or torch.bfloat16, enabled=dtype is not None, cache_enabled=False
    )
    stream = torch.cuda.current_stream(x.device) if x.is_cuda else None
    capture = Capture(compile=_compiled if regions else None)
    token = CAPTURE.set(capture)
    try:
        with (
            torch.random.fork_rng([x.device] if x.is_cuda else []),
            torch._dynamo.config.patch(cache_size_limit=VARIANTS),  # its name in every torch
            autocast,
        ):
            yield capture.read
    except Exception as error:
        # torch asserts what it asks of modules; of a compiler there are many kinds
        if regions or isinstance(error, (RuntimeError, AssertionError)):
            raise CaptureError(first_line(getattr(error, 'inner_exception', error))) from error
        raise
    finally:
        CAPTURE.reset(token)
        if stream is not None:  # a capture that CUDA breaks off leaves its own
            torch.cuda.set_stream(stream)


def kind_of(x: Tensor) -> tuple:
    """Return what a graph depends on besides the numbers in its tensors."""
    modes = (torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    return (x.shape, x.dtype, autocast_type(x), *modes)


class CapturedSteps:
    """Modules that run one after the other in a training, forward and backward as CUDA graphs.

    They are captured in the first call with gradients, for tensors of its size; others run as they
    are. Outputs are overwritten by the next call, and gradients may be by the next backward pass: a
    step of the optimiser has to come between. Trained parameters may change, but not where they
    lie; frozen ones may not, since a graph reads what was made of them.

    The functions marked with `capture.compile_region` are compiled first, which takes minutes.
    Where that fails, the log says why, and their kernels are captured as they are.

    Args:
        modules: of one argument each. They may share parameters and batch norms.
        regions: whether those parts are compiled.
    """

    def __init__(self, modules: list[nn.Module], regions: bool = True):
        self._modules = tuple(modules)
        self._regions = regions
        self._captured: tuple[Callable, ...] = ()
        self._kind: tuple = ()
        self._read: list = []

    def __deepcopy__(self, memo: dict) -> 'CapturedSteps':
        """Return the same for copies of the modules, not captured yet."""
        return CapturedSteps(copy.deepcopy(list(self._modules), memo), self._regions)

    def __call__(self, x: Tensor) -> list:
        """Return what each module makes of a tensor.

        Raises:
            CaptureError: they cannot be captured, in the first call only.
        """
        kind = kind_of(x)
        if not self._captured and torch.is_grad_enabled():
            self._captured, self._read = self._capture(x)
            self._kind = kind
        return [run(x) for run in (self._captured if kind == self._kind else self._modules)]

    def _capture(self, x: Tensor) -> tuple[tuple[Callable, ...], list]:
        start = time.monotonic()
        if self._regions:
            print_log(
                'compiling the parts of a step, which takes minutes the first time', 'current'
            )
        found = self._captured_with_compiled_parts(x) if self._regions else None
        if found is None:  # now, when nothing holds the memory of an attempt any more
            found = self._capture_once(x, regions=False)
        print_log(f'CUDA graphs captured after {time.monotonic() - start:.0f} s', 'current')
        return found

    def _captured_with_compiled_parts(self, x: Tensor) -> tuple[tuple[Callable, ...], list] | None:
        try:
            return self._capture_once(x, regions=True)
        except CaptureError as error:
            why = f'a step with compiled parts cannot be captured, one without them is: {error}'
        print_log(why, 'current', logging.WARNING)
        return None

    def _capture_once(self, x: Tensor, regions: bool) -> tuple[tuple[Callable, ...], list]:
        # other objects: capturing changes what a module runs
        captured = tuple(_Copy(module) for module in self._modules)
        modules = nn.ModuleList(self._modules)
        statistics = kept_statistics(modules)
        try:
            with _capturing(x, regions) as read:
                if dtype := autocast_type(x):
                    read += cache_cast_weights(
                        modules, dtype
                    )  # a compiled part does not tell what it reads
                graphed = torch.cuda.make_graphed_callables(
                    captured,
                    tuple((x.clone(),) for _ in captured),
                    num_warmup_iters=_WARM_UP,
                    allow_unused_input=True,
                )
                return graphed, read
        finally:
            put_back(statistics)


class _Copy(nn.Module):
    """Runs a module, whose parameters are its own."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor):
        return self.module(x)


class CapturedNetwork:
    """A function of a tensor, without gradients, as a CUDA graph for each shape it is called with.

    Weights must not change between calls: a graph reads what was made of frozen ones.

    Args:
        run: maps a tensor to a tensor.
        give_up: called with the reason where that cannot be captured; it runs as it is then.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], give_up: Callable[[str], None]):
        self._run = run
        self._give_up = give_up
        self._graphs: dict[tuple, tuple] = {}
        self._failed = False

    def __deepcopy__(self, memo: dict) -> 'CapturedNetwork':
        """Return the same for a copy of what runs, not captured yet."""
        return CapturedNetwork(copy.deepcopy(self._run, memo), self._give_up)

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the function makes of a tensor."""
        kind = kind_of(x)
        if kind not in self._graphs and not self._failed and len(self._graphs) < SHAPES:
            try:
                self._graphs[kind] = self._capture(x)
            except CaptureError as error:
                self._failed = True
                self._give_up(str(error))
        if kind not in self._graphs:
            return self._run(x)
        graph, given, result, _ = self._graphs[kind]
        given.copy_(x)
        graph.replay()
        return result.clone()  # the next call overwrites it

    def _capture(self, x: Tensor) -> tuple:
        given, graph = x.clone(), torch.cuda.CUDAGraph()
        with _capturing(x) as read:
            aside, now = torch.cuda.Stream(), torch.cuda.current_stream()
            aside.wait_stream(now)
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UP):
                    self._run(given)
            now.wait_stream(aside)
            with torch.cuda.graph(graph, capture_error_mode='thread_local'):
                result = self._run(given)
        return graph, given, result, read
