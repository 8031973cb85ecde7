"""One run of a job's script: its process, lock, log and record, all in the job's folder.

The lock says whether a job runs. Script and loader workers inherit it, so it holds as long as any
of them lives, whatever became of the launcher, and a killed machine leaves none behind.
"""

import contextlib
import os
import platform
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.file_lock import Held, acquire, is_held
from mmseg_uvpt.files import read_object_if_there, regular, write_json
from mmseg_uvpt.processes import die_with
from mmseg_uvpt.sweep.jobs import Job
from mmseg_uvpt.sweep.models import LOCK

JOB, LOG = 'job.json', 'job.log'
_PATIENCE = 0.5  # seconds, since another process that only looks holds a lock for a moment


class Busy(Exception):
    """Another process runs this job already."""


class AlreadyDone(Exception):
    """Another launcher has finished this job since it was looked at."""


class Attempt:
    """A script that was started; `poll` it until it has a status.

    Args:
        job: to run; goes on where an earlier attempt stopped.
        environment: variables that the script gets beside those of this process.
        where: what the record says of it, such as the GPU.

    Raises:
        Busy: the job runs already.
        AlreadyDone: it needs not run.
        UserError: the job's folder cannot be written.
    """

    def __init__(self, job: Job, environment: dict[str, str] | None = None, where: str = ''):
        self.job = job
        self._ended = self._stopped = False
        self._id = secrets.token_hex(4)
        try:
            lock = acquire(job.folder / LOCK, _PATIENCE)
        except Held:
            raise Busy(job.folder) from None
        try:
            if job.done():  # only who holds the lock can tell
                raise AlreadyDone
            command = job.command()
            record = job_record_of(job.folder)
            facts = {
                'id': self._id,
                'command': shlex.join(command),
                'host': platform.node(),
                'where': where,
                'started': _now(),
            }
            attempts = [*record.get('attempts', []), facts]
            write_json(job.folder / JOB, {**record, 'attempts': attempts})
            self._process = _spawn(command, environment or {}, job.folder / LOG, lock)
        finally:
            os.close(lock)  # the script has its own by now

    def poll(self) -> int | None:
        """Return the script's exit status once it has ended; negative: the signal that ended it."""
        status = self._process.poll()
        if status is not None and not self._ended:
            self._ended = True
            end = {'ended': _now(), 'status': status, 'stopped': self._stopped}
            with contextlib.suppress(UserError):  # a lost record must not stop other jobs
                record = job_record_of(self.job.folder)  # another launcher may have gone on by now
                for facts in record.get('attempts', []):
                    if facts.get('id') == self._id:
                        facts |= end
                        write_json(self.job.folder / JOB, record)
        return status

    def wait(self) -> int:
        """Wait for the end; return the status as `poll` does."""
        self._process.wait()
        return self.poll()

    def stop(self) -> None:
        """Tell the script to end; the record says that it was told."""
        self._stopped = True
        self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Send a signal to the script and to all in its process group."""
        with contextlib.suppress(ProcessLookupError):  # all of them have ended
            os.killpg(self._process.pid, number)


def stop_all(attempts: Sequence[Attempt], patience: float) -> None:
    """End scripts and all that they started.

    Args:
        attempts: to end.
        patience: seconds that they have to end by themselves.
    """
    for attempt in attempts:
        attempt.stop()
    deadline = time.monotonic() + patience
    try:
        while any(a.poll() is None for a in attempts) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:  # also when the person who waits has none
        for attempt in attempts:
            attempt.signal(signal.SIGKILL)
        for attempt in attempts:
            attempt.wait()


def _spawn(command: list[str], environment: dict, log: Path, lock: int) -> subprocess.Popen:
    """Start a command in a process group of its own, which ends when this process does."""
    parent = os.getpid()

    if log.exists() and not log.is_file():
        raise UserError(f'cannot write {log}: it is no file')
    with open(log, 'a', opener=regular) as file:
        try:
            file.write(f'{"" if file.tell() == 0 else chr(10)}$ {shlex.join(command)}\n')
            file.flush()
        except OSError as error:  # a failed write does not name its file
            raise UserError(f'cannot write {log}: {error.strerror}') from error
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'PYTHONUNBUFFERED': '1', **environment},
            pass_fds=[lock],
            start_new_session=True,
            preexec_fn=lambda: _prepare(parent),
        )


def _prepare(parent: int) -> None:
    """Prepare a script's process, between fork and exec."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm warns submitit by it, which tells us
    die_with(parent, signal.SIGTERM)


def set_aside(job: Job) -> Path:
    """Rename the folder of a finished job, so that it can run again and nothing is lost.

    Returns:
        Path: where the results are kept.
    """
    kept = job.folder.with_name(f'{job.folder.name}.{time.strftime("%Y%m%d_%H%M%S")}')
    job.folder.rename(kept)
    return kept


def is_running(folder: Path) -> bool:
    """Tell whether some process, here or on another machine, runs the job of a folder."""
    return is_held(folder / LOCK)


def job_record_of(folder: Path) -> dict:
    """Return what is recorded of a job: its ``attempts`` and, in Slurm, its ``slurm`` id.

    Raises:
        UserError: the record cannot be read.
    """
    path = folder / JOB
    found = read_object_if_there(path, 'delete it')
    attempts = found.get('attempts', [])
    if not (
        isinstance(found.get('slurm', ''), str)
        and isinstance(attempts, list)
        and all(isinstance(one, dict) and type(one.get('status', 0)) is int for one in attempts)
    ):
        raise UserError(f'{path} is no record of attempts: delete it')
    return found


def last_of(record: dict) -> dict:
    """Return the last attempt of a record that was read; empty before the first."""
    return (record.get('attempts') or [{}])[-1]


def _now() -> str:
    return time.strftime('%Y-%m-%dT%H:%M:%S%z')
