"""Activation checkpointing: parts of a model run again in the backward pass, for less memory."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmseg_uvpt.acceleration.capture import is_captured
from mmseg_uvpt.acceleration.running_statistics import kept_statistics, put_back
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.models.tuners.prompts import Prompts
from mmseg_uvpt.models.tuners.tuner import Tuner
from mmseg_uvpt.ops.backends import autocast_type

_INSIDE = ContextVar('inside a part that is checkpointed', default=False)


def checkpointed(run: nn.Module | Callable, *args):
    """Run a part of a model and keep only its arguments; the backward pass runs it again.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016). Random numbers are the same
    the second time, and batch norms count a batch once.

    Args:
        run: a module, or a method of one that runs all its batch norms.
        *args: of the part.

    Returns:
        What the part returns; the same numbers and gradients as without.
    """
    owner = getattr(run, '__self__', run)

    def once(*args):
        token = _INSIDE.set(True)
        try:
            return run(*args)
        finally:
            _INSIDE.reset(token)

    return checkpoint(
        once,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _without_statistics(owner)),
    )


def checkpointed_in_half(run: nn.Module | Callable, *args):
    """Do as `checkpointed` under autocast, where memory is worth more than a little arithmetic.

    For parts that keep much and cost a GPU little: the adapters but for their convolutions, the
    head's ASPP and the generator's stem have a twelfth of the arithmetic of a step of Swin-B, and
    keep half of the memory. Parts of what is checkpointed anyway are left alone, and so are
    graphs: `torch.compile` decides that itself, and CUDA graphs are there for speed.
    """
    keeps = is_captured() or not torch.is_grad_enabled() or _INSIDE.get()
    if keeps or autocast_type(args[0]) is None:
        return run(*args)
    return checkpointed(run, *args)


@contextmanager
def _without_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch norms as they are."""
    kept = kept_statistics(module) if module.training else []
    try:
        yield
    finally:
        # not counted as a change: the backward pass of norms that did not run may need theirs
        put_back([(buffer.data, copy) for buffer, copy in kept])


def checkpoint_stages(model: nn.Module) -> int:
    """Keep only what passes between generator, adapters, stages and head; return of how many.

    Args:
        model: an adapted segmentor, changed in place.

    Raises:
        UserError: it is another one.
    """
    backbone = model.backbone
    if not isinstance(backbone, Tuner):
        raise UserError('uvpt.low_memory is for adaptation: this is a source model')
    prompts = [backbone.generator, *backbone.adapters] if isinstance(backbone, Prompts) else []
    parts = [*prompts, *([model.neck] if model.with_neck else []), model.decode_head]
    for part in parts:
        part.forward = functools.partial(checkpointed, part.forward)
    if not isinstance(backbone.staged, StagedBackbone):
        return len(parts)
    backbone.staged.blocks = functools.partial(checkpointed, backbone.staged.blocks)
    return len(parts) + len(backbone.staged.widths)
