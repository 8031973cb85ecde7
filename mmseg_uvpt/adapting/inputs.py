"""What an adaptation was made of, so that the same command is not answered from other files."""

import hashlib
import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.datasets.files.image_files import SUFFIXES
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.files import file_hash, size_and_start


def inputs_of(args: Namespace) -> dict[str, str]:
    """Return hashes of the model's files, and of names, sizes and beginnings of photographs.

    Args:
        args: of the command line.

    Returns:
        dict: by the name of the argument; without what is not there (any more), or which the hub
            has.
    """
    found: dict[str, Callable[[Path], str]] = {
        'model': _model_hash,
        'config': file_hash,
        'photographs': _listing_hash,
        'labelled': _listing_hash,
    }
    named = {name: Path(value) for name in found if (value := getattr(args, name))}
    return {name: found[name](path) for name, path in named.items() if path.exists()}


def _model_hash(path: Path) -> str:
    """Return the hash of a file, of the checkpoint that a work folder is read by, or of a shared
    model: of all files in its folder."""
    file = path if path.is_file() else last_checkpoint(path)
    if file:
        return file_hash(file)
    hashes = (f'{name.name} {file_hash(name)}' for name in sorted(path.iterdir()) if name.is_file())
    return hashlib.sha256('\n'.join(hashes).encode(errors='surrogateescape')).hexdigest()


def _listing_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in paths_below(folder):
        if path.lower().endswith(SUFFIXES) and os.path.isfile(path):
            digest.update(os.fsencode(os.path.relpath(path, folder)) + b'\0')
            digest.update(f'{size_and_start(path)}\n'.encode())
    return digest.hexdigest()
