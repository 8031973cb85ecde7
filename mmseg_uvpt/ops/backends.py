"""How an operator runs: which implementation serves which tensors, and in which type.

``UVPT_OPS=reference|cpp|cuda``, read when this module is imported, forces one of them. The
reference of each operator, not of deformable attention alone, is plain PyTorch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.ops import build, operators

NAMES = ('reference', 'cpp', 'cuda')
# Of csrc: what is more than anybody uses goes through the reference.
MAX_MAPS = 8
CUDA_MAX_SAMPLES = 32  # levels times points
CUDA_MAX_CHANNELS = 128  # of a head

_device_of = {'cpp': 'cpu', 'cuda': 'cuda'}
_backend_for = {device: name for name, device in _device_of.items()}


def _load(name: str) -> str | None:
    """Load a compiled backend; return why it is missing, or None."""
    library = build.library(name)
    if library is None:
        return build.why_missing(name)
    try:
        torch.ops.load_library(str(library))
    except OSError as error:
        return f'{library} does not load: {error}'
    return None


_forced = os.environ.get('UVPT_OPS') or None
if _forced not in (None, *NAMES):
    raise UserError(f'UVPT_OPS={_forced}: must be one of {", ".join(NAMES)}')
ASKED = _forced  # by the environment
operators.register()
missing: dict[str, str | None] = {name: _load(name) for name in _device_of}


def is_compiled(device: torch.device, maps: int = 1, samples: int = 1, channels: int = 1) -> bool:
    """Tell whether compiled code serves tensors on a device.

    Args:
        device: of the tensors.
        maps: levels of the values or maps of the queries, whichever are more.
        samples: levels times points.
        channels: of a head.

    Raises:
        RuntimeError: the backend that was forced is not there, or not for this device.
    """
    name = _forced or _backend_for.get(device.type, 'reference')
    if name == 'reference':
        return False
    reason = _why_not(name, device)
    if _forced and reason:
        raise RuntimeError(f'UVPT_OPS={name}{reason}')
    fits = maps <= MAX_MAPS and (
        name != 'cuda' or (samples <= CUDA_MAX_SAMPLES and channels <= CUDA_MAX_CHANNELS)
    )
    return reason is None and (fits or _forced is not None)


def check_forced(device: torch.device | str) -> None:
    """Make sure that the backend that ``UVPT_OPS`` forces, if it does, serves a device.

    Raises:
        UserError: it does not; the reason is named.
    """
    reason = _forced and _forced != 'reference' and _why_not(_forced, torch.device(device))
    if reason:
        raise UserError(f'UVPT_OPS={_forced}{reason}; without it the best that is there is used')


def _why_not(name: str, device: torch.device) -> str | None:
    """Return why a compiled backend does not serve a device, as the end of a sentence, or None."""
    if missing[name]:
        return f', but it is not there: {missing[name]}'
    if device.type != _device_of[name]:
        return f' serves no tensors on {device}'
    if name == 'cuda' and not _has_code_for(device.index or 0):
        return f': {why_not_on(device.index or 0)}'
    return None


@torch.compiler.assume_constant_result
def _has_code_for(index: int) -> bool:
    return _code_for(index)


@lru_cache
def _code_for(index: int) -> bool:
    """Tell whether the CUDA library runs on a GPU; asked only where a tensor lies on it."""
    return build.covers(build.built_for(), torch.cuda.get_device_capability(index))


def why_not_on(index: int) -> str:
    """Return in one line why the CUDA library does not run on a GPU."""
    major, minor = torch.cuda.get_device_capability(index)
    return (
        f'the library has code for {build.built_for()}, GPU {index} is of {major}.{minor}: '
        f'TORCH_CUDA_ARCH_LIST={major}.{minor} bash install.sh'
    )


def serving(device: torch.device) -> str:
    """Return the name of the backend that serves tensors on a device."""
    return _backend_for[device.type] if is_compiled(device) else 'reference'


def is_reference() -> bool:
    """Tell whether all operators are to run as their reference."""
    return _forced == 'reference'


def is_inference_on_cpu(x: torch.Tensor) -> bool:
    """Tell whether an operator may take what is fastest on a CPU without gradients.

    A compiler or an export that looks on sees the reference.
    """
    return (
        x.device.type == 'cpu'
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not is_reference()
    )


def autocast_type(x: torch.Tensor) -> torch.dtype | None:
    """Return the type that autocast computes in on a tensor's device; None without autocast."""
    kind = x.device.type
    if _has_autocast(kind) and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return None


@torch.compiler.assume_constant_result  # not every torch traces the question
def _has_autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind)


def force(name: str | None) -> None:
    """Force a backend for the rest of the process, as ``UVPT_OPS`` does; None lifts that.

    Raises:
        ValueError: there is no backend of that name.
    """
    global _forced
    if name not in (None, *NAMES):
        raise ValueError(f'backend {name!r}: must be one of {", ".join(NAMES)}')
    _forced = name


@contextmanager
def forced(name: str | None) -> Iterator[None]:
    """Do as `force` for what runs within."""
    before = _forced
    force(name)
    try:
        yield
    finally:
        force(before)
