"""Functions of a tensor that `torch.compile` makes code of, within a limit of time.

Nothing can break a compiler off safely in the process that it works for. So inductor, which writes
and compiles C++ for minutes, first does so in a copy of the process, whose end costs nothing. What
it compiled lies in its cache then, and is taken over in the time that tracing takes.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch._dynamo
import torch._inductor.config
from mmengine.logging import print_log
from torch import Tensor, nn
from torch._dynamo.backends.registry import lookup_backend
from torch._dynamo.exc import TorchDynamoException
from torch.utils._pytree import tree_leaves

from mmseg_uvpt.acceleration.cuda_graphs import SHAPES, VARIANTS, kind_of
from mmseg_uvpt.acceleration.running_statistics import put_back
from mmseg_uvpt.errors import first_line
from mmseg_uvpt.ops.backends import autocast_type
from mmseg_uvpt.processes import run_apart, share_of_processors

INDUCTOR = 'inductor'  # the one backend that generates code, and keeps it for other processes
_LINKED = ('.so', '.gch')  # files of its cache that g++ leaves half written where it is ended


def goes_on_uncompiled(reason: str) -> None:
    """Say in the log why nothing, or nothing more, is compiled."""
    print_log(f'--compile: it goes on uncompiled: {reason}', 'current', logging.WARNING)


class CompiledParts:
    """Functions of a tensor that run one after the other, compiled for the sizes they are given.

    A size is compiled for when it first occurs, until the time is used up. What is computed is the
    same: random numbers, buffers and gradients are as if nothing had been compiled. Where
    something fails or takes too long, the log says why, and they run as they are from then on.

    Args:
        model: whose parameters and buffers they use.
        parts: each maps a tensor to tensors.
        backend: of `torch.compile`.
        limit: seconds for all compiling; None for no limit. With inductor one half is for the code,
            and one for taking it over.
        whole: whether a part must be a single graph.
    """

    def __init__(
        self,
        model: nn.Module,
        parts: list[Callable],
        backend: str,
        limit: float | None,
        whole: bool = True,
    ):
        self._model = model
        self._parts = parts
        self._backend = backend
        self._limit = self._left = math.inf if limit is None else limit
        self._end: float | None = None  # until when something may be compiled now
        self._kinds: dict[tuple, bool] = {}  # of tensors: whether it was compiled for them
        options = {'fullgraph': whole, 'dynamic': False, 'backend': self._compile}
        self._compiled = [torch.compile(part, **options) for part in parts]

    def __call__(self, x: Tensor) -> list:
        """Return what each part makes of a tensor."""
        kind = kind_of(x)
        if kind not in self._kinds and self._left > 0 and len(self._kinds) < SHAPES:
            self._kinds[kind] = self._prepare(x)
        results = []
        for compiled, part in zip(self._compiled, self._parts, strict=True):
            try:
                results.append((compiled if self._kinds.get(kind) else part)(x))
            except TorchDynamoException as error:  # nothing of this part has run
                self._give_up(error)
                results.append(part(x))
        return results

    def _give_up(self, error: Exception) -> None:
        self._kinds, self._left = {}, 0.0
        cause = getattr(error, 'inner_exception', error)
        reason = f'{type(cause).__name__}: {first_line(cause)}'
        if isinstance(cause, TimeoutError):
            reason = f'compiling takes longer than uvpt.compile_limit={self._limit:g} s'
        goes_on_uncompiled(reason)

    def _prepare(self, x: Tensor) -> bool:
        """Compile for tensors like this one; tell whether that is done."""
        start = time.monotonic()
        limited = math.isfinite(self._left)
        print_log(
            f'compiling for images of {" x ".join(map(str, x.shape[2:]))} by {self._backend}'
            + (f', at most {self._left:.0f} s' if limited else ''),
            'current',
        )
        try:
            lookup_backend(self._backend)  # one that is unknown shows before minutes of tracing
            apart = limited and self._backend == INDUCTOR
            if apart:
                self._fill_cache(x)
            self._end = start + self._left
            with _as_it_was(self._model):
                self._run_all(x, 1 if apart else share_of_processors())
        except Exception as error:  # of many kinds, each compiler's own
            self._give_up(error)
            return False
        finally:
            self._end = None
        seconds = time.monotonic() - start
        self._left -= seconds
        print_log(f'compiled in {seconds:.0f} s', 'current')
        return True

    def _compile(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable:
        """Be the backend of `torch.compile`, which calls it when it has traced a part."""
        if self._end is None:
            raise RuntimeError('what was compiled does not fit any more')
        if time.monotonic() > self._end:
            raise TimeoutError
        return lookup_backend(self._backend)(graph, inputs)

    def _fill_cache(self, x: Tensor) -> None:
        """Have a copy of this process compile.

        Raises:
            TimeoutError: half of the time was not enough.
            RuntimeError: it failed.
        """
        threads, dtype = torch.get_num_threads(), autocast_type(x)
        inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def run() -> str | None:  # in a new thread, which is as this one
            torch.set_num_threads(threads)
            self._end = math.inf
            autocast = torch.autocast(
                x.device.type, dtype or torch.bfloat16, enabled=dtype is not None
            )
            try:
                with torch.inference_mode(inference), torch.set_grad_enabled(gradients), autocast:
                    self._run_all(x, share_of_processors())
            except Exception as error:
                return first_line(getattr(error, 'inner_exception', error))

        try:
            run_apart(run, self._left / 2)
        except BaseException:
            _remove_torn()
            raise

    def _run_all(self, x: Tensor, threads: int) -> None:
        """Run the parts forward and, in a training, backward, which compiles them.

        Args:
            x: of the kind that is compiled for.
            threads: that may run C++ compilers.
        """
        trained = [p for p in self._model.parameters() if p.requires_grad]
        options = {'fallback_random': True, 'fx_graph_cache': True, 'compile_threads': threads}
        with (
            torch._dynamo.config.patch(cache_size_limit=VARIANTS),  # its name in every torch
            torch._inductor.config.patch(options),
        ):
            if self._backend == INDUCTOR:  # where there is no compiler that shows at once
                torch.compile(_line)(torch.zeros(8))
            for run in self._compiled:
                outputs = [y for y in tree_leaves(run(x)) if y.requires_grad]
                if outputs and torch.is_grad_enabled():
                    with torch.autocast(x.device.type, enabled=False):
                        total = sum(y.sum() for y in outputs)
                        torch.autograd.grad(total, trained, allow_unused=True)


def _line(x: Tensor) -> Tensor:
    return x.sin() + 1


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Leave random numbers and buffers as they were."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()] if model.training else []
    gpu = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(gpu):
            yield
    finally:
        with torch.no_grad():
            put_back(kept)
        torch.clear_autocast_cache()


def _remove_torn() -> None:
    """Remove what a linker that was ended may have left half written: it would be used for ever."""
    from torch._inductor.codecache import cache_dir

    recent = time.time() - 3
    for path in Path(cache_dir()).rglob('*'):
        if path.suffix in _LINKED and path.stat().st_mtime > recent:
            path.unlink(missing_ok=True)
