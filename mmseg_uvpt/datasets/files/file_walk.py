"""One walk over folders, so that every tool sees the same files."""

import os
from collections.abc import Iterator
from pathlib import Path

from mmseg_uvpt.datasets.files.data_error import DataError


def paths_below(folder: str | Path) -> Iterator[str]:
    """Yield the files and folders below a folder, in the order of their names.

    Links to folders are followed, but not back into a folder that they lie in. Names that begin
    with a dot are passed over: thumbnails, and what is not written to its end.

    Raises:
        DataError: a folder may not be looked into.
    """
    return _below(os.fspath(folder), frozenset())


def _below(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    try:
        status = os.stat(folder)
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        names = sorted(name for name in os.listdir(folder) if not name.startswith('.'))
    except OSError as error:
        raise DataError(
            f'the folder {folder} cannot be looked into ({error.strerror}): make it readable, or '
            'take it away'
        ) from error
    for name in names:
        path = os.path.join(folder, name)
        yield path
        if os.path.isdir(path):
            yield from _below(path, above | {here})
