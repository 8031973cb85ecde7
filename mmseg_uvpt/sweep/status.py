"""What state a job is in, and what its log tells.

Both are read from the job's folder alone, so any launcher can tell.
"""

import os
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from mmseg_uvpt.engine.work_folder.claim import command_words
from mmseg_uvpt.errors import STOPPED, UserError
from mmseg_uvpt.files import open_regular
from mmseg_uvpt.sweep import attempt
from mmseg_uvpt.sweep.jobs import Job

LACKING = (AttributeError, KeyError, TypeError)  # a config lacks what it must have
_TAIL = 20_000  # bytes that are enough to find the last line of progress
_LINES = re.compile(r'[\r\n]+')
# mmengine's lines, and ours
_LOGGED = re.compile(
    r'Iter\((?P<phase>\w+)\) +\[ *(?P<done>\d+)/(?P<total>\d+)\]'
    r'(?:.*?eta: (?P<left>(?:\d+ days?, )?[\d:]+))?'
)
_PROGRESS = re.compile(
    r'^(?P<phase>\w[\w, ]*): (?P<done>\d+)/(?P<total>\d+) \w+, (?P<left>.*\d:\d\d) left$'
)
_STAMP = re.compile(r'^\d\d/\d\d \d\d:\d\d:\d\d - mmengine - ')


class State(Enum):
    """States in the order in which a job passes through them."""

    MISSING = 'missing input'
    READY = 'ready'
    QUEUED = 'queued'
    RUNNING = 'running'
    FAILED = 'failed'
    DONE = 'done'


class Status(NamedTuple):
    """A state and what there is to say of it: progress, what is missing, the end of the log."""

    state: State
    note: str = ''


def status_of(job: Job, queue: Mapping[str, str] | None = None) -> Status:
    """Return the status of a job.

    Args:
        job: of any stage.
        queue: states of Slurm's jobs by their ids, as ``squeue`` names them.
    """
    try:  # errors are of one job: the others go on
        return _status_of(job, queue or {})
    except UserError as error:
        return Status(State.FAILED, str(error))
    except LACKING as error:
        return Status(State.MISSING, f'{job.config}: {type(error).__name__}: {error}')


def _status_of(job: Job, queue: Mapping[str, str]) -> Status:
    record = attempt.job_record_of(job.folder)
    last = attempt.last_of(record)
    in_slurm = queue.get(record.get('slurm'))
    if attempt.is_running(job.folder):
        place = f'{last.get("host", "?")} {last.get("where", "")}'.strip()
        done = progress(job.folder / attempt.LOG)
        return Status(State.RUNNING, f'{done} ({place})' if done else place)
    if job.done():
        return Status(State.DONE, _out_of_date(job))
    if in_slurm:
        return Status(State.QUEUED, f'Slurm job {record["slurm"]}: {in_slurm.lower()}')
    try:
        job.require()
    except UserError as error:
        return Status(State.MISSING, str(error))
    if 'status' in last and last['status'] != STOPPED and not last.get('stopped'):
        return Status(State.FAILED, failure(last['status'], job))
    return Status(State.READY, 'to be resumed' if last else '')


def failure(status: int, job: Job) -> str:
    """Return how an attempt ended, and the last lines of its log."""
    how = f'exit status {status}' if status >= 0 else f'killed by signal {-status}'
    if status == 0:
        how += ', but the result is not there'
    return f'{how}\n{last_lines(job.folder / attempt.LOG)}'.strip()


def _out_of_date(job: Job) -> str:
    """Say so if a finished job would now start from another or a newer model, or otherwise."""
    newest = job.newest
    if newest and not newest.why and newest.path.name != job.needs.name:
        return f'{newest.path} is there now: run it again with --again'
    try:
        newer = job.needs and job.needs.stat().st_mtime > job.makes.stat().st_mtime
    except OSError:
        newer = False
    if newer:
        return f'{job.needs.name} is newer: run it again with --again'
    ran = _arguments(
        command_words(attempt.last_of(attempt.job_record_of(job.folder)).get('command'))
    )
    asked = _arguments(job.command())
    same = not ran or (len(ran) == len(asked) and all(map(_is_same, ran, asked)))
    return '' if same else 'it was run with other arguments: run it again with --again'


def _arguments(command: Sequence[str]) -> list[str]:
    """Return a script and its arguments, whatever runs it and whether it goes on or not."""
    script = next((i for i, word in enumerate(command) if word.endswith('.py')), 0)
    return [word for word in command[script:] if word != '--resume']


def _is_same(one: str, other: str) -> bool:
    """Tell whether two words of commands mean the same: a path may be written in many ways."""
    if one == other or Path(one).name != Path(other).name:
        return one == other
    return not (os.path.exists(one) and os.path.exists(other)) or os.path.samefile(one, other)


def progress(log: Path) -> str:
    """Return how far a job is, such as ``'train 50/40000, 3:20:11 left'``; empty if unknown."""
    for line in reversed(_lines(log)):
        found = _LOGGED.search(line) or _PROGRESS.search(line)
        if found:
            left = f', {found["left"]} left' if found['left'] else ''
            return f'{found["phase"]} {found["done"]}/{found["total"]}{left}'
    return ''


def last_lines(log: Path) -> str:
    """Return the end of a log without its stamps; the lines of mmengine's warnings included."""
    lines = [_STAMP.sub('', line)[:300] for line in _lines(log)]
    return '\n'.join(lines[-3:])


def _lines(log: Path) -> list[str]:
    try:
        with open_regular(log) as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            text = file.read().decode(errors='replace')
    except OSError:
        return []
    lines = [line.rstrip() for line in _LINES.split(text) if line.strip()]
    begins = [i for i, line in enumerate(lines) if line.startswith('$ ')]  # an attempt's command
    return lines[begins[-1] + 1 :] if begins else lines
