"""Locks on files, which the kernel releases when the processes that hold them end.

Whoever inherits the open file holds the lock too. A killed process, or machine, leaves none behind.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import regular

_STEP = 0.05  # seconds between two tries


class Held(Exception):
    """Another process holds the lock."""


def acquire(path: str | Path, patience: float) -> int:
    """Lock a file.

    Args:
        path: of the file; it and its folder are made if need be.
        patience: seconds to wait for a holder that is about to end.

    Returns:
        int: the open file, whose closing releases the lock.

    Raises:
        Held: another process holds it.
        UserError: the file cannot be written, or its file system has no locks.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = regular(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror}') from error
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(file)
                raise Held(path) from None
            time.sleep(_STEP)
        except OSError as error:
            os.close(file)
            raise _no_locks(path, error) from error


@contextmanager
def alone(path: str | Path, told: str) -> Iterator[None]:
    """Hold the lock of a file, which is made if need be, without waiting for it.

    Raises:
        UserError: another process holds it, with what is ``told`` of that; or as `acquire` does.
    """
    try:
        lock = acquire(path, 0)
    except Held:
        raise UserError(told) from None
    try:
        yield
    finally:
        os.close(lock)


def is_held(path: str | Path) -> bool:
    """Tell whether some process, here or on another machine, holds the lock of a file.

    Raises:
        UserError: its file system has no locks.
    """
    try:
        file = regular(path, os.O_RDONLY)
    except OSError:  # none, or one that is not ours to look at
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise _no_locks(path, error) from error
    finally:
        os.close(file)


def _no_locks(path: str | Path, error: OSError) -> UserError:
    return UserError(
        f'{path} lies where files cannot be locked ({error.strerror}), and nothing else keeps two '
        'processes apart: name a folder on another file system'
    )
