"""Files that appear whole or not at all, or change in place; reading of files; their hash."""

import errno
import hashlib
import json
import mmap
import os
import secrets
import shutil
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

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
    # a name has 255 bytes at most
    temporary = path.parent / f'.{path.name[-50:]}.{secrets.token_hex(4)}.part'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding = None if 'b' in mode else 'utf-8'
        with open(temporary, mode.replace('w', 'x'), encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        # torch.save calls a full disk a RuntimeError
        failure = error.__context__ if isinstance(error, RuntimeError) else error
        if not isinstance(failure, OSError):
            raise
        raise UserError(
            f'cannot write {path}: {failure.strerror or failure}; nothing was overwritten'
        ) from failure
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole.

    Raises:
        UserError: the file could not be written.
    """
    with write_whole(path, 'w') as file:
        file.write(text)


def refuse_inputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path], option: str) -> None:
    """Make sure that no file to be written is one that is read, under whatever name or link.

    Args:
        outputs: files to be written; they need not exist.
        inputs: files that are read.
        option: that named the outputs, for the error.

    Raises:
        UserError: one is.
    """
    held = {identity: path for path in inputs if (identity := _identity(path))}
    for path in outputs:
        if (found := held.get(_identity(path))) is not None:
            raise UserError(
                f'{option} would overwrite {found}, which is read'
                f'{"" if str(found) == str(path) else f", by writing {path}"}: choose another place'
            )


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Return what is the same for all names of a file; None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def refuse_to_replace(
    path: Path, inputs: Iterable[str | Path], force: bool, suffixes: Sequence[str] = ()
) -> None:
    """Make sure that a file may be written, before time is spent on its contents.

    Args:
        path: of the file.
        inputs: files that are read.
        force: whether it may be there already.
        suffixes: of which its name must have one; any, if there are none.

    Raises:
        UserError: its suffix is another one; it is a folder or one of the inputs; or it exists,
            and ``force`` is off.
    """
    if suffixes and path.suffix not in suffixes:
        raise UserError(
            f'{path}: the name of the file to write must end in {" or ".join(suffixes)}'
        )
    if path.is_dir():
        raise UserError(f'{path} is a folder: name the file to write in it')
    refuse_inputs([path], inputs, 'OUT')
    if os.path.lexists(path) and not force:
        raise UserError(f'{path} exists: name another file, or replace it with --force')


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
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + '\n')


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file to read it. Pipes and devices are refused: a read of them may never end.

    Raises:
        OSError: there is no such file, it may not be read, or it is no regular file.
    """
    return open(path, 'rb', opener=regular)


def read_bytes(path: str | Path, most: int = -1) -> bytes:
    """Return what a file holds, or no more than its first ``most`` bytes.

    Raises:
        OSError: see `open_regular`.
    """
    with open_regular(path) as file:
        return file.read(most)


def size_and_start(path: str | Path) -> list[int]:
    """Return what tells a file from another, wherever it is copied to, without reading all of it.

    Returns:
        list: its bytes, and a checksum of the first 65,536 of them.

    Raises:
        OSError: see `open_regular`.
    """
    return [os.stat(path).st_size, zlib.crc32(read_bytes(path, 2**16))]


def regular(path: str | Path, flags: int) -> int:
    """Open a regular file only: the ``opener`` of Python's `open`, which waits for pipes.

    Raises:
        OSError: see `open_regular`.
    """
    handle = os.open(path, flags | os.O_NONBLOCK, 0o666)
    kind = os.fstat(handle).st_mode
    if stat.S_ISREG(kind):
        return handle
    os.close(handle)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, 'it is a pipe or a device', str(path))


def why_unreadable(path: str | Path, error: OSError | None = None) -> str | None:
    """Say why a file cannot be read, to follow its name in an error; None if it can.

    Args:
        path: of the file.
        error: of an attempt to read it; without one the file is opened.
    """
    if error is None:
        try:
            open_regular(path).close()
            return None
        except OSError as found:
            error = found
    if isinstance(error, FileNotFoundError):
        link = os.path.islink(path)
        return 'is a link to a file that does not exist' if link else 'does not exist'
    if isinstance(error, IsADirectoryError):
        return 'is a folder, not a file'
    return f'cannot be read: {error.strerror or error}'


def read_json(path: str | Path) -> object:
    """Read a JSON file as strictly as `write_json` writes it.

    Raises:
        OSError: see `open_regular`.
        ValueError: it is no JSON; or a number in it is not finite.
    """
    return parse_json(read_bytes(path))


def parse_json(text: str | bytes) -> object:
    """Do as `read_json` with the text of a file."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise ValueError('it is nested too deeply') from error


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) < float('inf'):
        return number
    raise ValueError(f'{text} is no finite number')


def read_object(path: str | Path, cure: str) -> dict:
    """Read a JSON file that holds an object.

    Args:
        path: of the file.
        cure: what to do if it does not serve; ends the error.

    Raises:
        UserError: it is missing, no JSON, or holds something else.
    """
    try:
        found = read_json(path)
    except OSError as error:
        raise UserError(f'{path} {why_unreadable(path, error)}: {cure}') from error
    except ValueError as error:
        raise UserError(f'{path} cannot be read ({error}): {cure}') from error
    if not isinstance(found, dict):
        raise UserError(f'{path} holds a {type(found).__name__}, not an object in braces: {cure}')
    return found


def read_object_if_there(path: str | Path, cure: str) -> dict:
    """Do as `read_object`; empty where there is no such file. A link to nothing is an error."""
    return read_object(path, cure) if os.path.lexists(path) else {}


def objects_in_lines(lines: Iterable[bytes]) -> Iterator[dict]:
    """Yield the objects of a file that has one a line; a killed run leaves half a line."""
    for line in lines:
        with suppress(ValueError):
            if isinstance(found := parse_json(line), dict):
                yield found


def is_text(name: str | os.PathLike) -> bool:
    """Tell whether a file's name is UTF-8, so that configs, pages and logs can hold it."""
    try:
        os.fspath(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    """Return a file's name with a sign in the place of each byte that is no UTF-8."""
    return os.fsencode(name).decode(errors='replace')


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def allocate(path: Path, size: int) -> None:
    """Create a file of ``size`` zero bytes whose blocks are reserved on the disk.

    Reserving them now makes a full disk an error here. Of a sparse file it would be noticed when
    a page is written back, and then the process dies of SIGBUS in the middle of training.
    """
    with path.open('xb') as file:
        os.posix_fallocate(file.fileno(), 0, size)


def open_mapped(path: Path, dtype: str) -> np.memmap:
    """Open a flat file to read and change it in place; it never lies in memory as a whole."""
    return np.memmap(path, dtype, 'r+')


def release(file: np.memmap) -> None:
    """Drop the resident pages of a mapped file; contents stay as they are.

    Pages that were touched count as resident: a bank would grow to its full size in memory within
    an epoch. What was written stays in the system's page cache and reaches the disk.
    """
    file.base.madvise(mmap.MADV_DONTNEED)


def empty_part(folder: Path) -> Path:
    """Return where a folder is made before it takes its place; what is there is removed."""
    part = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    return part


def remove_folder(folder: Path) -> None:
    """Remove a folder at once, if it is there: who is killed here leaves none, or all of it."""
    part = empty_part(folder)
    if folder.exists():
        os.rename(folder, part)
        empty_part(folder)


def size_text(size: int) -> str:
    """Return a number of bytes in words."""
    for unit, name in ((1e9, 'GB'), (1e6, 'MB'), (1e3, 'kB')):
        if size >= unit:
            return f'{size / unit:.1f} {name}'
    return f'{size} bytes'
