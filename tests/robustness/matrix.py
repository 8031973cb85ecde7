"""Reads each kind of file in each state of damage, and says what came of it."""

import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from damages import DAMAGES, Damage, marker_of, of_json
from readers import Reader

from mmseg_uvpt.errors import UserError

NOBODY = 65534
SECONDS = 20  # for one file: more is a hang
# a name in which all goes wrong that can, and one that is no UTF-8
NAMES = {
    'name with spaces and non-ASCII letters': 'Straße  zur 街, ñandú',
    'name that is no UTF-8': os.fsdecode(b'caf\xe9'),
}


class Hang(BaseException):
    """A file is not read in time. No reader may catch this."""


def damages_of(reader: Reader) -> tuple[Damage, ...]:
    """Return the damages that are for a reader's kind of file."""
    return tuple(d for d in DAMAGES if not d.kinds or reader.kind in d.kinds)


@cache
def _base() -> Path:
    """Return a folder for all that follows; any user may enter it."""
    folder = Path(tempfile.mkdtemp(prefix='uvpt-robustness-', dir='/tmp'))
    folder.chmod(0o755)
    return folder


def remove_all() -> None:
    """Remove what was written."""
    shutil.rmtree(_base())
    _base.cache_clear()
    good.cache_clear()


@cache
def good(reader: Reader) -> tuple[Path, object]:
    """Return a folder with a good file, and what reading it gives."""
    folder = Path(tempfile.mkdtemp(dir=_base()))
    folder.chmod(0o755)
    reader.make(folder)
    with fresh(folder) as copy:
        value = reader.read(copy / reader.file)
    assert value is not None, f'{reader.name}: the good file is not read'
    return folder, value


@contextlib.contextmanager
def fresh(folder: Path, name: str = 'work') -> Iterator[Path]:
    """Copy a folder; the copy is removed in the end."""
    copy = _base() / name
    shutil.copytree(folder, copy)
    try:
        yield copy
    finally:
        shutil.rmtree(copy)


@cache
def outcome(reader: Reader, damage: Damage) -> str:
    """Damage a file and read it.

    Returns:
        str: ``error``, ``read`` for what serves all the same, or the reader's rule.

    Raises:
        AssertionError: what came of it is none of these.
    """
    folder, value = good(reader)
    with fresh(folder) as copy:
        path = copy / reader.file
        if damage.group == 'denied':  # all but this one
            for other in (copy, *copy.rglob('*')):
                other.chmod(0o777)
        damage.apply(path)
        before = _names(copy)
        found = _read(reader, path, denied=damage.group == 'denied')
        left = _names(copy) - before - {path}
        assert not left, f'left behind: {left}'
        assert not marker_of(path).exists(), 'code of the file was run'
    if isinstance(found, UserError):
        message = str(found)
        named = path.name in message or str(path.parent) in message
        assert named, f'the file is not named: {message}'
        assert 'Traceback' not in message
        assert '60,000' not in damage.name or re.search('claims|exceeds limit', message)
        return 'error'
    if damage.name == 'missing' and reader.missing:
        return reader.missing
    if found is None:
        assert reader.rule, 'passed over in silence'
        return reader.rule
    if damage.reads or (reader.kind == 'image' and damage.group in ('channels', 'depth')):
        return 'read'
    assert same(found, value), f'read as something else: {found}'
    return 'read'


@cache
def outcome_under(reader: Reader, name: str) -> str:
    """Read a good file in a folder of that name.

    Returns:
        str: ``read`` if it is read as it is elsewhere; ``error`` if its name is refused; else
            the error.

    Raises:
        AssertionError: otherwise.
    """
    folder, value = good(reader)
    with fresh(folder, name) as copy:
        try:
            assert same(reader.read(copy / reader.file), value)
            return 'read'
        except UserError as error:
            return 'error' if 'its name is no UTF-8' in str(error) else ascii(error)
        except Exception as error:  # its text may be no UTF-8, which pytest's workers cannot send
            raise AssertionError(ascii(error)) from None


@cache
def outcomes_of_values(reader: Reader) -> Counter:
    """Replace the values of a JSON file, one after the other; return how often came what."""
    folder, _ = good(reader)
    found = Counter()
    for what, text in of_json((folder / reader.file).read_text()):
        damage = Damage('values', what, lambda path, text=text: path.write_bytes(text), reads=True)
        try:
            found[outcome(reader, damage)] += 1
        except Exception as error:
            raise AssertionError(f'{reader.name}: {what}: {error!r}') from error
    return found


def _read(reader: Reader, path: Path, denied: bool) -> object:
    """Return what reading gives, an error that a user is meant to read among it."""
    with _in_time(), _as_nobody() if denied else contextlib.nullcontext():
        try:
            return reader.read(path)
        except UserError as error:
            return error


@contextlib.contextmanager
def _as_nobody() -> Iterator[None]:
    """Act as a user to whom permissions apply; who is not root is one already."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def too_late(*_) -> None:
        raise Hang(f'not read within {SECONDS} s')

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _names(folder: Path) -> set[Path]:
    return set(folder.rglob('*'))


def same(first: object, second: object) -> bool:
    """Tell whether two things that readers return are equal."""
    if isinstance(first, np.ndarray | torch.Tensor):
        return type(first) is type(second) and np.array_equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second
