"""What changes of the label bank overwrote, so that it can be taken back to a checkpoint.

The bank's files change in place at every iteration, checkpoints are written now and then: a run
that is killed in between leaves a bank that is ahead of its checkpoint. So before a part of a file
changes for the first time after a checkpoint, what was there is appended to that checkpoint's log,
``undo.<iterations>`` beside the bank's files. A log is at most as large as what it undoes, and the
logs of the last two checkpoints are kept.

A log is a sequence of records: a header (checksum, number of the file, first element, end), then
the old bytes. A kill can cut off the last one, whose change then was not made. Nothing waits until
a log is on the disk, which would take some milliseconds an image: after a power cut it may lack
records of changes that did reach the disk.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mmseg_uvpt.files import open_regular, regular

_HEADER = struct.Struct('<IIQQ')
_KEPT = 2  # checkpoints that the bank can be taken back to


class UndoLog:
    """The logs of a bank.

    Args:
        folder: of the bank.
        files: the bank's files by name, always in the same order.
    """

    def __init__(self, folder: Path, files: Mapping[str, np.memmap]):
        self._folder = folder
        self._files = list(files.values())
        self._numbers = {name: number for number, name in enumerate(files)}
        self._log: BinaryIO | None = None
        self._iterations: int | None = None  # of the checkpoint whose log is open
        self._saved: set[tuple[str, int]] = set()

    def begin(self, iterations: int) -> None:
        """Begin the log of the checkpoint after so many iterations, before it is written."""
        if self._iterations == iterations:
            return
        self.close()
        self._log = open(self._path(iterations), 'wb', opener=regular)  # noqa: SIM115
        self._iterations = iterations
        self._saved.clear()

    def save(self, name: str, start: int, stop: int) -> None:
        """Save elements of a file that are about to change, unless that was done already.

        Args:
            name: of the file.
            start: first element; always the same parts of a file are saved.
            stop: the element after the last.
        """
        if self._log is None or (name, start) in self._saved:
            return
        if not self._saved:  # the checkpoint is written: the oldest log has had its time
            for iterations in self._found()[:-_KEPT]:
                self._path(iterations).unlink()
        number = self._numbers[name]
        old = self._files[number][start:stop].tobytes()
        self._log.write(_HEADER.pack(zlib.crc32(old), number, start, stop) + old)
        self._log.flush()  # to the system, which outlives this process
        self._saved.add((name, start))

    def roll_back(self, iterations: int) -> bool:
        """Undo all that was changed after a checkpoint.

        Args:
            iterations: of the checkpoint.

        Returns:
            bool: whether its log is there; without it only what later ones hold is undone.
        """
        self.close()
        later = [found for found in self._found() if found >= iterations]
        for found in reversed(later):
            for number, start, old in self._records(self._path(found)):
                file = self._files[number]
                elements = np.frombuffer(old, file.dtype)
                file[start : start + len(elements)] = elements
        for file in self._files:
            file.flush()
        # the newest first: what is left can be undone again
        for found in reversed(later):
            self._path(found).unlink()
        return iterations in later

    def clear(self) -> None:
        """Remove all logs: the run is finished."""
        self.close()
        for found in self._found():
            self._path(found).unlink()

    def close(self) -> None:
        """Close the log that is open; nothing is saved any more."""
        if self._log is not None:
            self._log.close()
        self._log = self._iterations = None

    def _path(self, iterations: int) -> Path:
        return self._folder / f'undo.{iterations}'

    def _found(self) -> list[int]:
        """Return the iterations of the logs that exist, ascending."""
        names = (re.fullmatch(r'undo\.(\d+)', path.name) for path in self._folder.iterdir())
        return sorted(int(match[1]) for match in names if match)

    def _records(self, path: Path) -> Iterator[tuple[int, int, bytes]]:
        """Yield the whole records of a log: file, first element and old bytes."""
        with open_regular(path) as log:
            while len(header := log.read(_HEADER.size)) == _HEADER.size:
                checksum, number, start, stop = _HEADER.unpack(header)
                if number >= len(self._files):
                    return
                size = (stop - start) * self._files[number].itemsize
                old = log.read(size)
                if len(old) != size or zlib.crc32(old) != checksum:
                    return
                yield number, start, old
