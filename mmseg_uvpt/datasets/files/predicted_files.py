"""Predictions that this project wrote, which are no photographs to learn from."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object

PREDICTIONS = 'predictions.json'  # lists the files of a folder, and says what made them
MADE_BY = 'checkpoint_sha256'


def written_files(folder: str | Path) -> set[Path]:
    """Return the files that earlier runs wrote into a folder, as its record lists them.

    Raises:
        UserError: the record is none of this project's.
    """
    return {Path(folder) / name for name in read_record(Path(folder), '').get('files', [])}


def predicted_files(paths: Iterable[str]) -> set[str]:
    """Return the files, links followed, that the records of predictions among paths list."""
    found: set[Path] = set()
    for path in paths:
        if os.path.basename(path) == PREDICTIONS:
            with suppress(UserError):  # of others
                found |= written_files(os.path.dirname(path))
    return {os.path.realpath(path) for path in found}


def without_predictions(paths: Iterable[str]) -> list[str]:
    """Return paths without those that the records of predictions among them list."""
    paths = [*paths]
    predicted = predicted_files(paths)  # following links takes time: mostly there are none
    return [p for p in paths if os.path.realpath(p) not in predicted] if predicted else paths


def read_record(folder: Path, option: str) -> dict:
    """Return the record of the predictions in a folder; empty where there is none.

    Args:
        folder: of the predictions.
        option: that named the folder, for errors; may be empty.

    Raises:
        UserError: the record is none of this project's.
    """
    path = folder / PREDICTIONS
    if not os.path.lexists(path):
        return {}
    cure = f'choose another folder for {option}' if option else 'choose another folder'
    found = read_object(path, cure)
    files = found.get('files', [])
    is_ours = MADE_BY in found and isinstance(files, list)
    if not is_ours or not all(isinstance(file, str) for file in files):
        raise UserError(f'{path} is no record of predictions made here: {cure}')
    return found
