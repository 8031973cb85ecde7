"""The one place where a flag becomes a change: `accelerate`.

A model works without it, slower, with the same numbers. ``--plain`` leaves the call away and runs
each operator as its reference.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from prettytable import PrettyTable
from torch import nn

from mmseg_uvpt.acceleration import checkpointing, replacements
from mmseg_uvpt.acceleration.amp import half_type
from mmseg_uvpt.acceleration.compile import CompileOptions, compile_network, compile_views
from mmseg_uvpt.acceleration.compiled_parts import goes_on_uncompiled
from mmseg_uvpt.acceleration.main_memory import keep_main_memory
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor
from mmseg_uvpt.ops import backends


class Change(NamedTuple):
    """What was changed: a module or a function, from what to what, and in how many places."""

    plain: str
    fast: str
    places: int


def accelerate_as_config_says(model: nn.Module, said: Any, cfg: Config) -> list[Change]:
    """Do as `accelerate` by the flags of ``cfg.uvpt``.

    If they say ``plain``, nothing but the type of ``amp`` is changed, and operators run as their
    references.

    Args:
        model: a segmentor, or a wrapper of one.
        said: entries of ``cfg.uvpt`` as attributes.
        cfg: resolved config.

    Returns:
        list: the changes, for `table`.

    Raises:
        UserError: ``compile_limit`` is not above 0; low memory is asked for a model without
            prompts.
    """
    options = CompileOptions(said.compile_backend, said.compile_limit)
    backends.force('reference' if said.plain else backends.ASKED)
    if said.plain:
        ignored = [name for name in ('compile', 'low_memory') if getattr(said, name)]
        if ignored:
            print_log(f'--plain: uvpt.{" and uvpt.".join(ignored)} without effect', 'current')
        return autocast_forward(without_wrapper(model)) if said.amp else []
    compiles = options if said.compile else None
    return accelerate(model, said.amp, compiles, said.low_memory, cfg)


def accelerate(
    model: nn.Module,
    amp: bool = False,
    compile: CompileOptions | None = None,
    low_memory: bool = False,
    cfg: Config | None = None,
) -> list[Change]:
    """Make a segmentor faster, or smaller, in place; names and values of its parameters stay.

    To be called once, when it is known what is trained: layers that are not become cheaper.

    Args:
        model: a segmentor, or a wrapper of one.
        amp: let it compute in half precision where autocast does so.
        compile: how to compile it; None for not at all.
        low_memory: keep only what passes between the parts of an adapted model; the backward pass
            runs them again.
        cfg: of the training, which may contradict compiling.

    Returns:
        list: the changes, for `table`.
    """
    model = without_wrapper(model)
    changes = [
        Change(_path(plain), _path(fast), places)
        for (plain, fast), places in replacements.replace_modules(model).items()
    ]
    if keep_main_memory():
        changes.append(Change('memory returned to the system', 'memory kept by glibc', 1))
    if low_memory:
        places = checkpointing.checkpoint_stages(model)
        changes.append(Change('activations kept', 'activations computed again', places))
    if compile is not None:
        if not any(p.requires_grad for p in model.parameters()):
            made = compile_network(model, compile)
        elif isinstance(model, AdaptedSegmentor):
            made = compile_views(model, compile, cfg, low_memory)
        else:
            goes_on_uncompiled('only the views of an adaptation are compiled')
            made = []
        changes += [Change(*change) for change in made]
    return changes + (autocast_forward(model) if amp else [])


def autocast_forward(model: nn.Module) -> list[Change]:
    """Have a segmentor compute in half precision where autocast does so."""
    device = next(model.parameters()).device
    dtype, device = half_type(device), device.type
    model.forward = functools.partial(_under_autocast, model.forward, device, dtype)
    return [Change('float32', f'autocast to {str(dtype).removeprefix("torch.")}', 1)]


def _under_autocast(forward: Callable, device: str, dtype: torch.dtype, *args, **kwargs):
    with torch.autocast(device, dtype):
        return forward(*args, **kwargs)


def _path(kind: type) -> str:
    return f'{kind.__module__}.{kind.__qualname__}'


def table(changes: Sequence[Change]) -> str:
    """Return the changes as a table, a line each; one line if there are none."""
    if not changes:
        return 'acceleration: none, everything runs as models/ says'
    rows = PrettyTable(Change._fields, align='l')
    rows.add_rows(changes)
    return f'acceleration\n{rows}'
