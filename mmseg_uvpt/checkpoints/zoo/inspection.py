"""Whether the published files that are there are what they should be."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmseg_uvpt.checkpoints.zoo.files import ZooFile
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import file_hash
from mmseg_uvpt.progress import progress

Contents = Callable[[ZooFile, Path], str]


@dataclass(frozen=True)
class Finding:
    """What became of a file: ``detail`` says why, or what is not known of it."""

    entry: ZooFile
    path: Path
    status: Literal['fits', 'unknown', 'WRONG']
    detail: str


def inspect(files: list[ZooFile], root: Path, contents: Contents | None = None) -> list[Finding]:
    """Check size and hash of the files that are there, and tell how far that is.

    Args:
        files: to look for.
        root: the model folder.
        contents: called with an entry and its path, looks into the file, returns what it found
            and raises a `UserError` where that does not fit; None to leave the contents.

    Returns:
        list: a finding for each file that is there; its status is ``unknown`` where no hash is
        known to compare with.
    """
    there = [(entry, root / entry.file) for entry in files if (root / entry.file).exists()]
    return [_finding(*file, contents) for file in progress(there, 'reading', 'file')]


def _finding(entry: ZooFile, path: Path, contents: Contents | None) -> Finding:
    try:
        size = path.stat().st_size
        if path.is_dir():
            return Finding(entry, path, 'WRONG', 'is a folder, not a file')
        if entry.size not in (None, size):
            detail = f'{size:,} bytes instead of {entry.size:,}: get it again from {entry.link}'
            return Finding(entry, path, 'WRONG', detail)
        found = file_hash(path)
        known = entry.sha256 or entry.sha256_prefix
        if known and not found.startswith(known):
            detail = f'sha256 {found}, must begin with {known}: get it again from {entry.link}'
            return Finding(entry, path, 'WRONG', detail)
        details = [contents(entry, path)] if contents else []
    except UserError as error:
        return Finding(entry, path, 'WRONG', str(error))
    except OSError as error:
        return Finding(entry, path, 'WRONG', f'cannot be read: {error.strerror}')
    if entry.sha256 and entry.size:
        return Finding(entry, path, 'fits', '; '.join(details))
    details.append(f'for model/zoo.json: "size": {size}, "sha256": "{found}"')
    return Finding(entry, path, 'fits' if known else 'unknown', '; '.join(details))
