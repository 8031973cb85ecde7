"""What state a job is in. It is read from the job's folder alone, so any launcher can tell."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from mmseg_uvpt.errors import STOPPED, UserError
from mmseg_uvpt.sweep import attempt, log
from mmseg_uvpt.sweep.jobs import Job


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
    try:
        return _status_of(job, queue or {})
    except UserError as error:  # of one job: the others go on
        return Status(State.FAILED, str(error))


def _status_of(job: Job, queue: Mapping[str, str]) -> Status:
    record = attempt.record_of(job.folder)
    last = attempt.last_of(record)
    in_slurm = queue.get(record.get('slurm'))
    if attempt.is_running(job.folder):
        place = f'{last.get("host", "?")} {last.get("where", "")}'.strip()
        progress = log.progress(job.folder / attempt.LOG)
        return Status(State.RUNNING, f'{progress} ({place})' if progress else place)
    if job.done():
        return Status(State.DONE, _out_of_date(job))
    if in_slurm:
        return Status(State.QUEUED, f'Slurm job {record["slurm"]}: {in_slurm.lower()}')
    try:
        job.require()
    except UserError as error:
        return Status(State.MISSING, str(error))
    except (AttributeError, KeyError, TypeError) as error:  # a config that lacks what it must have
        return Status(State.MISSING, f'{job.config}: {type(error).__name__}: {error}')
    if 'status' in last and last['status'] != STOPPED and not last.get('stopped'):
        return Status(State.FAILED, failure(last['status'], job))
    return Status(State.READY, 'to be resumed' if last else '')


def failure(status: int, job: Job) -> str:
    """Return how an attempt ended, and the last lines of its log."""
    how = f'exit status {status}' if status >= 0 else f'killed by signal {-status}'
    if status == 0:
        how += ', but the result is not there'
    return f'{how}\n{log.last_lines(job.folder / attempt.LOG)}'.strip()


def _out_of_date(job: Job) -> str:
    """Say so if a finished job would now start from another model, or from a newer one."""
    newest = job.newest
    if newest and not newest.why and newest.path.name != job.needs.name:
        return f'{newest.path} is there now: run it again with --again'
    try:
        newer = job.needs and job.needs.stat().st_mtime > job.makes.stat().st_mtime
    except OSError:
        return ''
    return f'{job.needs.name} is newer: run it again with --again' if newer else ''
