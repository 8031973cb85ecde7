"""Parts of a model recorded as CUDA graphs: a GPU then starts their kernels without being told to.

A view of Swin-B has thousands of short kernels, and telling a GPU of each takes longer than most of
them run. A graph is recorded once, for tensors of one size at fixed places in memory, and replayed
with a single call. What runs while it is recorded must neither depend on numbers that are drawn or
read on the CPU nor wait for the GPU.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.distributed
from torch import Tensor, nn

from mmseg_uvpt.models.frozen import autocast_type
from mmseg_uvpt.models.running_statistics import kept_statistics, put_back

_RECORDING = ContextVar('a CUDA graph is recorded', default=False)
_WARM_UP = 3  # runs before recording, in which libraries choose their kernels
_SHAPES = 8  # that `RecordedNetwork` keeps a graph of: each holds memory


class RecordingError(Exception):
    """A model cannot be recorded; the message says why."""


def is_recorded() -> bool:
    """Tell whether what runs now becomes part of a graph, of CUDA or of `torch.compile`."""
    # asked first, since a compiler may know nothing of context variables
    return torch.compiler.is_compiling() or _RECORDING.get()


@contextmanager
def _recording(x: Tensor) -> Iterator[None]:
    """Prepare for recording: random numbers stay as they were, autocast keeps no copies.

    Raises:
        RecordingError: in place of what CUDA or torch raise.
    """
    dtype = autocast_type(x)
    autocast = torch.autocast(
        x.device.type, dtype or torch.bfloat16, enabled=dtype is not None, cache_enabled=False
    )
    token = _RECORDING.set(True)
    try:
        with torch.random.fork_rng([x.device] if x.is_cuda else []), autocast:
            yield
    except (RuntimeError, AssertionError) as error:  # the second of what torch asks of modules
        raise RecordingError(str(error).strip().splitlines()[0]) from error
    finally:
        _RECORDING.reset(token)


class RecordedSteps:
    """Modules that run one after the other in a training, forward and backward as CUDA graphs.

    They are recorded in the first call, for tensors of its size; others run as they are. Outputs
    are overwritten by the next call, and so are gradients by the next backward pass: a step of the
    optimiser has to come between.

    Args:
        modules: of one argument each. They may share parameters and batch norms.
    """

    def __init__(self, modules: list[nn.Module]):
        self._modules = tuple(modules)
        self._recorded: tuple[Callable, ...] = ()
        self._kind: tuple = ()

    def __call__(self, x: Tensor) -> list:
        """Return what each module makes of a tensor.

        Raises:
            RecordingError: they cannot be recorded, in the first call only.
        """
        kind = (x.shape, x.dtype, autocast_type(x))
        if not self._recorded:
            self._record(x)
            self._kind = kind
        return [run(x) for run in (self._recorded if kind == self._kind else self._modules)]

    def _record(self, x: Tensor) -> None:
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            raise RecordingError('several processes train together')
        # other objects: recording changes what a module runs
        recorded = tuple(_Copy(module) for module in self._modules)
        statistics = kept_statistics(nn.ModuleList(self._modules))
        try:
            with _recording(x):
                self._recorded = torch.cuda.make_graphed_callables(
                    recorded,
                    tuple((x.clone(),) for _ in recorded),
                    num_warmup_iters=_WARM_UP,
                    allow_unused_input=True,
                )
        finally:
            put_back(statistics)


class _Copy(nn.Module):
    """Runs a module, whose parameters are its own."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor):
        return self.module(x)


class RecordedNetwork:
    """A function of a tensor, without gradients, as a CUDA graph for each shape it is called with.

    Args:
        run: maps a tensor to a tensor.
        give_up: called with the reason where that cannot be recorded; it runs as it is then.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], give_up: Callable[[str], None]):
        self._run = run
        self._give_up = give_up
        self._graphs: dict[tuple, tuple] = {}
        self._failed = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the function makes of a tensor."""
        kind = (x.shape, x.dtype, autocast_type(x))
        if kind not in self._graphs and not self._failed and len(self._graphs) < _SHAPES:
            try:
                self._graphs[kind] = self._record(x)
            except RecordingError as error:
                self._failed = True
                self._give_up(str(error))
        if kind not in self._graphs:
            return self._run(x)
        graph, given, result = self._graphs[kind]
        given.copy_(x)
        graph.replay()
        return result.clone()  # the next call overwrites it

    def _record(self, x: Tensor) -> tuple:
        given, graph = x.clone(), torch.cuda.CUDAGraph()
        with _recording(x):
            aside, now = torch.cuda.Stream(), torch.cuda.current_stream()
            aside.wait_stream(now)
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UP):
                    self._run(given)
            now.wait_stream(aside)
            with torch.cuda.graph(graph):
                result = self._run(given)
        return graph, given, result
