"""Checkpoint files, read and written: `torch.save`'s and safetensors', tensors and plain values."""

import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from mmengine.logging import HistoryBuffer
from safetensors import safe_open
from torch import Tensor

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import parse_json, why_unreadable, write_whole

SAFETENSORS = '.safetensors'
SUFFIXES = ('.pth', SAFETENSORS)


class _History(HistoryBuffer):
    """mmengine's `HistoryBuffer`, of whose state in a file only the numbers are taken."""

    def __setstate__(self, state: dict) -> None:
        self.__init__(state['_log_history'], state['_count_history'], state['max_length'])

    def __reduce__(self) -> tuple:
        return HistoryBuffer, (*self.data, self.max_length)


def _no_method(owner: type, name: str) -> None:
    """Stand for `getattr`, by which a `HistoryBuffer` in a file names its own methods."""
    if owner is not _History:
        raise pickle.UnpicklingError(f'Trying to call getattr of {owner}, {name}')


def _under(name: str, thing: Callable) -> Callable:
    """Let a file's name for something be read as this function or class.

    Those of functions are copied: what numpy 1 wrote names them otherwise than numpy 2 does.
    """
    if not isinstance(thing, type):
        original = thing

        def thing(*args: object) -> object:
            return original(*args)

    thing.__module__, _, thing.__name__ = name.rpartition('.')
    thing.__qualname__ = thing.__name__
    return thing


# what a checkpoint of an unfinished run holds beside tensors; none of them can run code
_PLAIN_TYPES = [
    _under('mmengine.logging.history_buffer.HistoryBuffer', _History),
    _under('builtins.getattr', _no_method),
    _under('numpy.core.multiarray._reconstruct', np._core.multiarray._reconstruct),
    _under('numpy.core.multiarray.scalar', np._core.multiarray.scalar),
    np._core.multiarray._reconstruct,
    np._core.multiarray.scalar,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in np.typecodes['All']},
]
# how torch says that a file needs an object that it does not allow
_FORBIDDEN = re.compile(r'Unsupported (global|class)|Trying to (instantiate|load|call)|blocked')
# safetensors' header takes texts, in no fixed order: all that is no tensor is one text
_HEADER = 'uni_uvpt'


def read_file(path: str | Path, map_location: str | torch.device | None = 'cpu') -> dict:
    """Read a checkpoint without running any code that it may hold.

    Args:
        path: file written by `torch.save`, or a ``.safetensors`` file: ours, or anyone's.
        map_location: as in `torch.load`; for ``.safetensors`` a device, None for the CPU.

    Returns:
        dict: the checkpoint's contents; of a ``.safetensors`` file ``state_dict``, ``meta`` and
        whatever else `write_file` was given.

    Raises:
        UserError: the file is missing, a folder, damaged, no checkpoint, or would run code.
    """
    path = Path(path).expanduser()
    if reason := why_unreadable(path):
        raise UserError(
            f'checkpoint {path} {reason}. model/README.md lists the released files; '
            '`python pretrain.py <config>` makes a source model.'
        )
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path, map_location or 'cpu')
    return _read_pth(path, map_location)


@contextmanager
def _allowed(types: list) -> Iterator[None]:
    """Let torch load these types as well (torch 2.4 has no `safe_globals`)."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(types)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _read_pth(path: Path, map_location: str | torch.device | None) -> dict:
    _refuse_inflated(path)
    try:
        with _allowed(_PLAIN_TYPES):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if _FORBIDDEN.search(reason):
            raise UserError(
                f'checkpoint {path} is refused: it holds more than tensors and plain values, and '
                f'opening it could run code ({_global_in(reason)}). If you trust where it is from, '
                f'take its tensors out: {_extraction(path)}'
            ) from error
        raise UserError(_damaged(path, 'torch.load')) from error
    except Exception as error:  # the bytes steer the reader: it may fail in any way
        raise UserError(_damaged(path, 'torch.load')) from error
    if not isinstance(checkpoint, Mapping):
        raise UserError(f'{path} holds a {type(checkpoint).__name__}, not a checkpoint (a dict)')
    return checkpoint


def _refuse_inflated(path: Path) -> None:
    """Refuse an archive whose parts are larger than itself.

    `torch.save` compresses nothing, but `torch.load` would unpack it all: kilobytes to gigabytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held = sum(part.file_size for part in archive.infolist())
    except Exception:  # torch's older format, or damaged, which torch will say
        return
    if held > path.stat().st_size:
        raise UserError(
            f'checkpoint {path} is refused: unpacked it would take {held:,} bytes, more than the '
            'file has. torch.save does not write such files; get it from where it came from.'
        )


def _read_safetensors(path: Path, device: str | torch.device) -> dict:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # safetensors takes no other names
        raise UserError(
            f'checkpoint {path} cannot be opened: its name is no UTF-8. Rename it.'
        ) from error
    try:
        with safe_open(path, framework='pt', device=str(device)) as file:
            header = parse_json((file.metadata() or {}).get(_HEADER, '{}'))
            names = header.pop('names', None) or list(file.keys())
            if sorted(names) != sorted(file.keys()):
                raise ValueError('the header names other tensors than the file holds')
            # clones: what safetensors gives is a window on the file, which may yet change
            tensors = {name: file.get_tensor(name).clone() for name in names}
    except Exception as error:  # likewise
        raise UserError(_damaged(path, 'safetensors')) from error
    return {'meta': {}, **header, 'state_dict': tensors}


def _extraction(path: Path) -> str:
    """Return the command that writes what a checkpoint holds beside objects."""
    new = path.with_name(f'{path.stem}-tensors.pth')
    code = (
        f"import torch; c = torch.load({str(path)!r}, 'cpu', weights_only=False); "
        f"c = c.get('state_dict') or c.get('model') or c; "
        f'torch.save({{k: v for k, v in c.items() if torch.is_tensor(v)}}, {str(new)!r})'
    )
    quoted = re.sub(r'(["\\$`])', r'\\\1', code)
    return f'python -c "{quoted}"'


def _global_in(reason: str) -> str:
    """Return the line of torch's message that names the forbidden object."""
    return next(line.strip() for line in reason.splitlines() if _FORBIDDEN.search(line))[:160]


def _damaged(path: Path, reader: str) -> str:
    return (
        f'checkpoint {path} is damaged or no checkpoint: {reader} cannot read it. Get or make it '
        'anew.'
    )


def write_file(checkpoint: Mapping, path: str | Path) -> None:
    """Write a checkpoint, whole or not at all, in the format that its suffix names.

    Args:
        checkpoint: ``state_dict``, names to tensors, and values that JSON can hold.
        path: ends in ``.safetensors``, or in anything else for `torch.save`'s format. The same
            contents give the same bytes.

    Raises:
        UserError: the file could not be written.
    """
    tensors = _compact(checkpoint['state_dict'])
    if Path(path).suffix == SAFETENSORS:
        header = {key: value for key, value in checkpoint.items() if key != 'state_dict'}
        text = json.dumps({**header, 'names': list(tensors)})
        data = safetensors.torch.save(_apart(tensors), {_HEADER: text})
        with write_whole(path) as file:
            file.write(data)
    else:
        with write_whole(path) as file:
            torch.save({**checkpoint, 'state_dict': tensors}, file)


def _compact(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors out of larger storages, which `torch.save` would write as wholes.

    Names for the same tensor, as of `SourceGtA`'s global head, go on sharing one.
    """
    copies, compact = {}, {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() == 0 or place not in copies:
            copies[place] = tensor.detach().clone(memory_format=torch.contiguous_format)
        compact[name] = copies[place]
    return compact


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each name a tensor of its own: safetensors knows no shared ones."""
    seen, apart = set(), {}
    for name, tensor in tensors.items():
        apart[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return apart
