"""Files that appear whole or not at all, and their hash."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from mmseg_uvpt.errors import UserError


@contextmanager
def write_whole(path: str | Path, mode: str = 'wb') -> Iterator[IO]:
    """Open a temporary file beside ``path`` that takes its place when the block succeeds.

    Args:
        path: final name; its folder is created if need be.
        mode: ``'wb'`` or ``'w'``.

    Yields:
        The open temporary file. If the block raises, it is removed and ``path`` stays as it was.

    Raises:
        UserError: the file could not be written (no space left, no permission, ...).
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f'.{path.name}.', suffix='.part', dir=path.parent
        )
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror}') from error
    try:
        with os.fdopen(handle, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f'cannot write {path}: {error.strerror or error}; nothing was overwritten'
        ) from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _umask() -> int:
    """Return the process's file mode mask (there is no call that only reads it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_png(path: str | Path, array: np.ndarray, compression: int = 1) -> None:
    """Write a uint8 or uint16 array, (H, W) or (H, W, 3) in RGB order, as a PNG, whole."""
    import cv2

    if array.ndim == 3:
        array = array[..., ::-1]
    done, data = cv2.imencode(
        '.png', np.ascontiguousarray(array), [cv2.IMWRITE_PNG_COMPRESSION, compression]
    )
    if not done:
        raise ValueError(f'{path}: no PNG can hold shape {array.shape}, dtype {array.dtype}')
    with write_whole(path) as file:
        file.write(data.tobytes())


def write_json(path: str | Path, value: object) -> None:
    """Write ``value`` as indented JSON, whole.

    Raises:
        UserError: the file could not be written.
        ValueError: a number is not finite, which JSON cannot say.
    """
    with write_whole(path, 'w') as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write('\n')


def file_hash(path: str | Path, advance: Callable[[int], object] = int) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Args:
        path: of the file.
        advance: called with the number of bytes of each block that is done.
    """
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()
