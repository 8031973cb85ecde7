"""What an adaptation was made of, so that the same command is not answered from other files."""

import hashlib
import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.engine.sharing.pretrained import WEIGHTS
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.files import file_hash


def inputs_of(args: Namespace) -> dict[str, str]:
    """Return a hash of the model's tensors, and of names and sizes in each folder of photographs.

    Args:
        args: of the command line.

    Returns:
        dict: by the name of the argument; without what is not there (any more), which the hub has,
            or which is not known to be one file.
    """
    found: dict[str, Callable[[Path], str | None]] = {
        'model': _model_hash,
        'photographs': _listing_hash,
        'labelled': _listing_hash,
    }
    named = {name: Path(value) for name in found if (value := getattr(args, name))}
    hashes = {name: found[name](path) for name, path in named.items() if path.exists()}
    return {name: value for name, value in hashes.items() if value}


def _model_hash(path: Path) -> str | None:
    files = [path, path / WEIGHTS, last_checkpoint(path) if path.is_dir() else None]
    file = next((file for file in files if file and file.is_file()), None)
    return file and file_hash(file)


def _listing_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in paths_below(folder):
        if os.path.isfile(path):
            digest.update(os.fsencode(os.path.relpath(path, folder)) + b'\0')
            digest.update(f'{os.path.getsize(path)}\n'.encode())
    return digest.hexdigest()
