"""A flat array in a file, of which only what is being used is in memory."""

import mmap
import os
from pathlib import Path

import numpy as np


def allocate(path: Path, size: int) -> None:
    """Create a file of ``size`` zero bytes whose blocks are reserved on the disk.

    Reserving them now makes a full disk an error here. Of a sparse file it would be noticed when
    a page is written back, and then the process dies of SIGBUS in the middle of training.

    Raises:
        OSError: no space left, no permission, ...
    """
    with path.open('xb') as file:
        os.posix_fallocate(file.fileno(), 0, size)


class MappedFile:
    """A memory-mapped, writable one-dimensional array.

    Pages that were touched count as resident until they are released, so a bank that is mapped
    once would grow to its full size in memory within an epoch. `release` lets go of the pages
    of this process; what was written stays in the system's page cache and reaches the disk.

    Args:
        path: an existing file, not empty.
        dtype: type of its elements.
    """

    def __init__(self, path: Path, dtype: str) -> None:
        with path.open('r+b') as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.array = np.frombuffer(self._map, dtype)

    def release(self) -> None:
        """Drop the resident pages; contents stay as they are."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def flush(self) -> None:
        """Wait until everything written is on the disk."""
        self._map.flush()

    def close(self) -> None:
        """Unmap the file; ``array`` must not be used any more."""
        del self.array
        self._map.close()
