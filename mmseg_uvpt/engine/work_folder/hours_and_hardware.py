"""How long a run took, and on what machine, as its work folder says."""

import os
import re
from datetime import datetime
from pathlib import Path

from mmseg_uvpt.engine.work_folder.claim import ENVIRONMENT
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object

_START = re.compile(r'\d{8}_\d{6}(_\d+)?$')  # folder of one start of a script
_CURE = 'delete it and run the job again'


def hours_of(folder: Path, record: dict) -> float | None:
    """Return how long a training took; None where its one start has not finished.

    Of one start its record says so. Several took what they did together, each until it last wrote
    something, but no longer than from the first one to the end: files may have been copied since,
    and tests may have written others. The names of their folders are times of the machine that ran
    them.

    Raises:
        UserError: the record does not say when.
    """
    try:
        starts, finished = record['starts'], record.get('finished')
        began = datetime.fromisoformat(starts[0]['started'])
        ended = datetime.fromisoformat(finished) if finished else None
        whole = (ended - began).total_seconds() if ended else float('inf')
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f'{folder}: run.json does not say when the run began and ended, {_CURE}'
        ) from error
    if len(starts) == 1:
        return whole / 3600 if ended else None
    seconds = 0.0
    for start in folder.iterdir():
        if start.is_dir() and _START.fullmatch(start.name):
            try:
                begin = datetime.strptime(start.name[:15], '%Y%m%d_%H%M%S')
            except ValueError:  # digits that are no time: a folder of others
                continue
            begin = begin.replace(tzinfo=began.tzinfo).timestamp()
            ends = [path.stat().st_mtime for path in start.rglob('*') if path.is_file()]
            seconds += max(0.0, max(ends, default=begin) - begin)
    return min(seconds, whole) / 3600


def hardware(folder: Path) -> str | None:
    """Return the GPUs of a run, or its processors, as its ``environment.json`` says."""
    folders = [folder, *sorted(folder.glob('*'))]
    paths = (start / ENVIRONMENT for start in folders)
    found = next(filter(os.path.lexists, paths), None)
    if not found:
        return None
    facts = read_object(found, _CURE)
    gpus = [f'{name.count(",") + 1} x {gpu}' for name, gpu in facts.items() if name[:4] == 'GPU ']
    return ', '.join(gpus) or f'{facts.get("processors", "?")} CPU cores'
