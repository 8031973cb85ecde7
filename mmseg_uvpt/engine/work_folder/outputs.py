"""What a run may write: nothing that it reads, and nothing that it did not write itself before."""

import os
from collections.abc import Iterable
from pathlib import Path

from mmengine.dist import is_main_process

from mmseg_uvpt.datasets.files.predicted_files import MADE_BY, PREDICTIONS, read_record
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import refuse_inputs, write_json

_ASKED = 'asked'  # options on which predictions depend


def claim_folder(
    folder: str | Path, files: Iterable[str], inputs: Iterable[str | Path], facts: dict, option: str
) -> dict:
    """Make sure that files may be written to a folder; then note them in its record.

    Args:
        folder: of the files.
        files: their names, relative to it.
        inputs: whatever is read, labels included.
        facts: what makes the files, from `provenance.of_predictions`.
        option: that named the folder, for errors.

    Returns:
        dict: the facts, with ``files``: these and those of earlier runs.

    Raises:
        UserError: a file is an input, has the name of another one, or is there and was not
            written by the same checkpoint; or others there were made with other options. Nothing
            has been written then.
    """
    folder, files = Path(folder), list(files)
    record = read_record(folder, option)
    if record.get(MADE_BY, facts[MADE_BY]) != facts[MADE_BY]:
        raise UserError(
            f'{option} {folder} holds predictions of another checkpoint, '
            f'{record.get("checkpoint")}: choose another folder'
        )
    refuse_inputs((folder / name for name in (*files, PREDICTIONS)), inputs, option)
    spelled: dict[str, str] = {}
    for name in (PREDICTIONS, *files):  # some file systems know no capitals
        if first := spelled.get(name.casefold()):
            both = f'two results would be {name}'
            if first != name:
                both = f'{first} and {name} would be one file where capitals do not count'
            raise UserError(f'{option} {folder}: {both}: write them into different folders')
        spelled[name.casefold()] = name
    listed = record.get('files', files if record else [])  # version 0.1 listed none
    strangers = {*files} - {*listed}
    for name in sorted(strangers):
        if os.path.lexists(folder / name):
            raise UserError(
                f'{option} {folder} holds {folder / name}, which no earlier run wrote '
                f'({PREDICTIONS} there does not list it) and which would be '
                'overwritten: choose another folder'
            )
    others, asked = {*listed} - {*files}, facts.get(_ASKED)
    if others and record.get(_ASKED, asked) != asked:
        raise UserError(
            f'{option} {folder} holds {min(others)}, made with {_told(record[_ASKED])} and not '
            f'{_told(asked)}: choose another folder'
        )
    facts = {**facts, 'files': sorted({*files, *listed})}
    if is_main_process():
        write_json(folder / PREDICTIONS, {**facts, 'finished': None})
    return facts


def _told(asked: dict) -> str:
    return ', '.join(f'{name} {value}' for name, value in asked.items())
