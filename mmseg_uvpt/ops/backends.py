"""Which implementation of deformable attention serves which tensors.

``UVPT_OPS=reference|cpp|cuda``, read when this module is imported, forces one of them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mmseg_uvpt.ops import build, operators

NAMES = ('reference', 'cpp', 'cuda')
MAX_MAPS = 8  # of csrc/geometry.h: more levels than anybody uses go through the reference

_device_of = {'cpp': 'cpu', 'cuda': 'cuda'}
_backend_for = {device: name for name, device in _device_of.items()}


def _load() -> dict[str, str | None]:
    """Load what was built; return, for each compiled backend, why it is missing, or None."""
    operators.register()
    missing = {}
    for name in _device_of:
        library = build.library(name)
        missing[name] = build.why_missing(name) if library is None else None
        if library is not None:
            try:
                torch.ops.load_library(str(library))
            except OSError as error:
                missing[name] = f'{library} does not load: {error}'
    return missing


_forced = os.environ.get('UVPT_OPS') or None
if _forced not in (None, *NAMES):
    raise ValueError(f'UVPT_OPS={_forced}: must be one of {", ".join(NAMES)}')
missing: dict[str, str | None] = _load()


def is_compiled(device: torch.device, maps: int = 1) -> bool:
    """Tell whether compiled code serves tensors on a device.

    Args:
        device: of the tensors.
        maps: levels of the values or maps of the queries, whichever are more.

    Raises:
        RuntimeError: the backend that was forced is not there, or not for this device.
    """
    if _forced is None:
        name = _backend_for.get(device.type)
        return name is not None and missing[name] is None and maps <= MAX_MAPS
    if _forced == 'reference':
        return False
    if missing[_forced]:
        raise RuntimeError(f'UVPT_OPS={_forced}, but it is not there: {missing[_forced]}')
    if device.type != _device_of[_forced]:
        raise RuntimeError(f'UVPT_OPS={_forced} serves no tensors on {device}')
    return True


def serving(device: torch.device) -> str:
    """Return the name of the backend that serves tensors on a device."""
    return _backend_for[device.type] if is_compiled(device) else 'reference'


@contextmanager
def forced(name: str | None) -> Iterator[None]:
    """Force a backend, as ``UVPT_OPS`` does; None lifts that.

    Raises:
        ValueError: there is no backend of that name.
    """
    global _forced
    if name not in (None, *NAMES):
        raise ValueError(f'backend {name!r}: must be one of {", ".join(NAMES)}')
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before
