"""Less memory for more arithmetic: parts of a model that run again in the backward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from torch import nn
from torch.utils.checkpoint import checkpoint

from mmseg_uvpt.models.running_statistics import kept_statistics, put_back


def recomputed(run: nn.Module | Callable, *args):
    """Run a part of a model and keep only its arguments; the backward pass runs it again.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016). Random numbers are the same
    the second time, and batch norms count a batch once.

    Args:
        run: a module, or a method of one.
        *args: of the part.

    Returns:
        What the part returns; the same numbers and gradients as without.
    """
    owner = getattr(run, '__self__', run)
    return checkpoint(
        run,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _without_statistics(owner)),
    )


@contextmanager
def _without_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch norms as they are."""
    kept = kept_statistics(module)
    try:
        yield
    finally:
        put_back(kept)
