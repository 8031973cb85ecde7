"""A work folder is used by one training at a time, a folder of pseudo labels by one run."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.file_lock import Held, acquire
from mmseg_uvpt.files import read_json

LOCK = 'run.lock'
_PATIENCE = 10  # seconds: a run that was just stopped may still be ending
_RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}


@contextmanager
def locked(
    folder: str | Path, launcher: str, command: str, option: str = '--work-dir'
) -> Iterator[None]:
    """Hold the lock of a folder, in the main process of several.

    Args:
        folder: is made if need be.
        launcher: that started the processes; 'none' for one process.
        command: this process's, for the message to others.
        option: by which another folder is chosen.

    Raises:
        UserError: another process holds it; the message names that process.
    """
    if int(os.environ.get(_RANKS.get(launcher, ''), 0)):
        yield
        return
    path = Path(folder) / LOCK
    try:
        file = acquire(path, _PATIENCE)
    except Held:
        raise UserError(
            f'folder {folder} is in use {_by_whom(path)}. Wait for it, end it, or choose another '
            f'{option}'
        ) from None
    try:
        holder = {'pid': os.getpid(), 'host': platform.node(), 'command': command}
        os.truncate(file, 0)
        os.pwrite(file, json.dumps(holder).encode(), 0)
        for part in path.parent.glob('.*.part'):  # of files that a killed run was writing
            if part.is_file():
                part.unlink()
        yield
    finally:
        os.truncate(file, 0)
        os.close(file)


def _by_whom(path: Path) -> str:
    try:
        holder = read_json(path)
        who = 'by process {pid} on {host}: {command}'.format(**holder)
    except (OSError, ValueError, KeyError):  # it has not said so yet
        who = 'by another process'
    return who
