"""The model zoo: every published file that the recipes name, read from ``model/zoo.json``."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_json, why_unreadable

REPOSITORY = Path(__file__).resolve().parents[3]
ZOO = REPOSITORY / 'model/zoo.json'
STAGES = ('imagenet', 'style', 'source', 'adapted')
_SCORES = {'mIoU19', 'mIoU16', 'mIoU13'}


@dataclass(frozen=True)
class ZooFile:
    """A published file.

    Attributes:
        file: its path below the model folder.
        stage: what it is for, one of `STAGES`.
        what: which model or network, in words.
        config: that evaluates it or reads it, from the repository's root.
        score: mIoU in percent on Cityscapes val as published, by ``mIoU19``, ``mIoU16`` and
            ``mIoU13``; None for what has none.
        size: in bytes, None where unknown.
        sha256: in hexadecimal digits, None where unknown.
        link: where it is published.
        sha256_prefix: the first digits of the hash, where only they are known.
    """

    file: str
    stage: str
    what: str
    config: str
    score: dict[str, float] | None
    size: int | None
    sha256: str | None
    link: str
    sha256_prefix: str | None = None


def _is_path(value: object) -> bool:
    if not isinstance(value, str) or not value or '\\' in value:
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and '..' not in path.parts


def _is_score(value: object) -> bool:
    return value is None or (
        isinstance(value, dict)
        and bool(value)
        and value.keys() <= _SCORES
        and all(type(number) in (int, float) and 0 <= number <= 100 for number in value.values())
    )


def _matches(pattern: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _or_null(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


# field: (whether a value serves, what to say if not)
_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    'file': (_is_path, 'a path below the model folder'),
    'stage': (lambda value: value in STAGES, f'one of {", ".join(STAGES)}'),
    'what': (_matches(r'.+'), 'a text'),
    'config': (_is_path, 'a path from the root of the repository'),
    'score': (_is_score, 'null, or mIoU19, mIoU16 and mIoU13 with numbers from 0 to 100'),
    'size': (_or_null(lambda value: type(value) is int and value > 0), 'null or a number of bytes'),
    'sha256': (_or_null(_matches('[0-9a-f]{64}')), 'null or 64 hexadecimal digits'),
    'link': (_matches(r'https://\S+'), 'a link, https://...'),
    'sha256_prefix': (_or_null(_matches('[0-9a-f]{1,64}')), 'null or hexadecimal digits'),
}


def read_zoo(path: str | Path = ZOO) -> list[ZooFile]:
    """Read and validate the list of published files.

    Raises:
        UserError: it is missing or no JSON, or an entry is wrong; names file, entry and value.
    """
    try:
        contents = read_json(path)
    except OSError as error:
        raise UserError(
            f'{path} {why_unreadable(path, error)}. It is part of the repository: '
            'git checkout -- model/zoo.json'
        ) from error
    except ValueError as error:  # neither JSON nor, before that, UTF-8
        raise UserError(f'{path} is no JSON: {error}') from error
    entries = contents.get('files') if isinstance(contents, dict) else None
    if not isinstance(entries, list):
        raise UserError(f'{path} must hold {{"files": [...]}}, an entry a file')
    files = [_entry(path, number, entry) for number, entry in enumerate(entries, 1)]
    names = [entry.file for entry in files]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'{path} lists {name} twice')
    return files


def _entry(path: str | Path, number: int, entry: object) -> ZooFile:
    if not isinstance(entry, dict):
        raise UserError(f'{path}, entry {number}: {entry!r} is no object in braces')
    where = f'{path}, entry {number} ({entry.get("file")})'
    known = {field.name for field in fields(ZooFile)}
    missing, unknown = known - entry.keys() - {'sha256_prefix'}, entry.keys() - known
    if missing or unknown:
        parts = [f'lacks {name}' for name in sorted(missing)]
        parts += [f'holds {name}, which is unknown' for name in sorted(unknown)]
        raise UserError(f'{where}: {", ".join(parts)}')
    for name, value in entry.items():
        serves, wanted = _RULES[name]
        if not serves(value):
            raise UserError(f'{where}: {name} is {value!r}, must be {wanted}')
    return ZooFile(**entry)


def select(files: list[ZooFile], pattern: str | None) -> list[ZooFile]:
    """Return the files whose path, or name, a shell pattern fits; all without a pattern.

    Raises:
        UserError: it fits none.
    """
    if pattern is None:
        return files
    found = [f for f in files if fnmatch(f.file, pattern) or fnmatch(Path(f.file).name, pattern)]
    if not found:
        raise UserError(
            f'--only {pattern} fits none of the {len(files)} published files: '
            '`python tools/model_zoo.py list` names them'
        )
    return found
