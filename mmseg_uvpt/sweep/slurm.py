"""The Slurm engine: jobs are submitted through submitit, and watched through their folders.

submitit writes the batch scripts, makes an array of several jobs, and puts a job that is preempted
or reaches its time limit back into the queue. Its own way to ask for states needs Slurm's
accounting, which small clusters lack: states come from the jobs' folders and from ``squeue``.
"""

import argparse
import getpass
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmseg_uvpt.errors import STOPPED, UserError
from mmseg_uvpt.files import write_json
from mmseg_uvpt.sweep.attempt import (
    JOB,
    AlreadyDone,
    Attempt,
    Busy,
    is_running,
    job_record_of,
    set_aside,
)
from mmseg_uvpt.sweep.display import Screen
from mmseg_uvpt.sweep.jobs import Job
from mmseg_uvpt.sweep.status import State, Status, status_of

_STEP = 5  # seconds between two looks at the queue
_SILENCE = 600  # seconds that Slurm may not answer, while jobs are watched
_ASKED = 3  # times that Slurm is asked for a job that was ended, a second apart
_WARNING = 120  # seconds before its limit that a job is told to stop
_PATIENCE = 60  # of them that a script has to end by itself


@dataclass(frozen=True)
class Options:
    """What is asked of Slurm.

    Attributes:
        partition: None for the cluster's default.
        minutes: limit of a job, after which it goes back into the queue.
        array_limit: jobs that run at once; None for no limit.
        gpus: of a job.
        sbatch: further options by name.
    """

    partition: str | None
    minutes: int
    array_limit: int | None
    gpus: int
    sbatch: Mapping[str, str]

    @classmethod
    def of(cls, args: argparse.Namespace) -> 'Options':
        """Return the options that a launcher's arguments name."""
        pairs = dict(option.split('=', 1) for option in args.sbatch)
        return cls(args.partition, args.time, args.array_limit, args.gpus_per_job, pairs)

    def parameters(self, name: str) -> dict:
        """Return them as submitit names them."""
        chosen = {
            'slurm_partition': self.partition,
            'slurm_array_parallelism': self.array_limit,
            'gpus_per_node': self.gpus or None,
            'slurm_additional_parameters': dict(self.sbatch) or None,
        }
        return {
            **{'name': name, 'timeout_min': self.minutes, 'slurm_signal_delay_s': _WARNING},
            **{key: value for key, value in chosen.items() if value is not None},
        }


class Task:
    """A job as it runs in Slurm; submitit calls it, and `checkpoint` before it is stopped."""

    def __init__(self, job: Job):
        self.job = job
        self._attempt: Attempt | None = None

    def __reduce__(self) -> tuple:
        return type(self), (self.job,)

    def __call__(self) -> int:
        """Run the job and return its script's exit status."""
        from submitit import JobEnvironment

        environment = JobEnvironment()
        where = f'Slurm job {environment.job_id}'
        variables = {} if self.job.settings.gpus else {'CUDA_VISIBLE_DEVICES': ''}
        while self._attempt is None:
            try:
                self._attempt = Attempt(self.job, variables, where)
            except AlreadyDone:
                return 0
            except Busy:  # the loader workers of an earlier start have not ended yet
                time.sleep(1)
        status = self._attempt.wait()
        if status in (STOPPED, -signal.SIGTERM) and _still_running(environment.job_id):
            # a preemption, of which Slurm tells the script by a signal that submitit does not
            # listen to: go the way of the one that it listens to, back into the queue
            signal.raise_signal(getattr(signal, f'SIG{environment.USR_SIG}'))
        return status

    def checkpoint(self):
        """End the script and return what goes on with it.

        submitit calls this in a signal handler, which may have come upon a lock of the `Popen` that
        is waited for: the script's end is seen by the job's own lock.
        """
        from submitit.helpers import DelayedSubmission

        if self._attempt:
            self._attempt.signal(signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE
            while is_running(self.job.folder) and time.monotonic() < deadline:
                time.sleep(0.1)
            self._attempt.signal(signal.SIGKILL)
        return DelayedSubmission(Task(self.job))


def _still_running(number: str) -> bool:
    """Tell whether Slurm has no other plans for a job: one that was cancelled is completing.

    A Slurm that has much to do may not answer at once; a preemption must not count as a failure for
    that.
    """
    command = ['squeue', '--noheader', '--jobs', number, '-o', '%T']
    for _ in range(_ASKED):
        try:
            answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            time.sleep(1)
        else:
            return answer.stdout.strip() == 'RUNNING'
    return False


def run(
    jobs: Sequence[Job], options: Options, screen: Screen, again: frozenset[Job] = frozenset()
) -> dict[Job, Status]:
    """Submit the jobs that can run and are not in the queue, and watch all of them.

    Args:
        jobs: of one stage.
        options: what is asked of Slurm.
        screen: shows how they get on.
        again: finished jobs that shall run once more.

    Returns:
        dict: how each job stands once none is queued or running.

    Raises:
        UserError: submitit or Slurm is missing, or Slurm refuses the jobs.
        KeyboardInterrupt: as asked for; the jobs stay in Slurm.
    """
    queue = queue_of(jobs)
    statuses = {job: status_of(job, queue) for job in jobs}
    ready = [j for j in jobs if statuses[j].state in (State.READY, State.FAILED)]
    for job in jobs:
        if job in again and statuses[job].state is State.DONE:
            try:
                job.require()
            except UserError as error:
                screen.say(f'{job.name} cannot run again: {error}')
                continue
            screen.say(f'{job.name}: earlier results are kept in {set_aside(job)}')
            ready.append(job)
    if ready:
        submit(ready, options)
    heard = time.monotonic()
    try:
        while True:
            try:
                queue = queue_of(jobs)
            except UserError:  # a busy Slurm may answer again
                if time.monotonic() - heard > _SILENCE:
                    raise
                time.sleep(_STEP)
                continue
            heard = time.monotonic()
            statuses = {job: status_of(job, queue) for job in jobs}
            screen.update(statuses)
            if not any(s.state in (State.QUEUED, State.RUNNING) for s in statuses.values()):
                return statuses
            time.sleep(_STEP)
    except KeyboardInterrupt:
        ids = sorted({_number_of(job) for job in jobs} - {None})
        screen.say(f'the jobs go on in Slurm; to end them: scancel {" ".join(ids)}')
        raise


def submit(jobs: Sequence[Job], options: Options, cluster: str = 'slurm') -> list:
    """Submit jobs and note their ids in their records.

    Args:
        jobs: at least one.
        options: what is asked of Slurm.
        cluster: for submitit: ``'slurm'`` or, for a try without one, ``'local'``.

    Returns:
        list: submitit's jobs.

    Raises:
        UserError: submitit or Slurm is missing, or Slurm refuses the jobs.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError('--engine slurm needs submitit: pip install submitit') from error
    folder = jobs[0].settings.work_root / 'slurm'
    try:
        # a training of days reaches its time limit as often as it must
        executor = submitit.AutoExecutor(folder, cluster=cluster, slurm_max_num_timeout=1000)
        executor.update_parameters(**options.parameters(f'uvpt-{jobs[0].stage}'))
        tasks = [Task(job) for job in jobs]
        submitted = executor.submit_array(tasks) if len(tasks) > 1 else [executor.submit(tasks[0])]
    except (RuntimeError, OSError, submitit.core.utils.FailedJobError) as error:
        raise UserError(f'Slurm takes no jobs: {_reason(error)}') from error
    for job, entry in zip(jobs, submitted, strict=True):
        write_json(job.folder / JOB, {**job_record_of(job.folder), 'slurm': entry.job_id})
    return submitted


def _reason(error: BaseException) -> str:
    """Return what sbatch said, which submitit wraps in its own words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if 'error' in line.lower()]
    return ' '.join(said or lines[-1:])


def queue_of(jobs: Sequence[Job], or_unknown: bool = False) -> dict[str, str]:
    """Return the states of the jobs that wait or run in Slurm, by their ids.

    Slurm is asked only if one of the jobs was ever submitted to it.

    Args:
        jobs: to look for.
        or_unknown: where Slurm does not answer, say that of each job.

    Raises:
        UserError: one was, and Slurm does not answer here.
    """
    sent = {job: number for job in jobs if (number := _number_of(job)) and not job.done()}
    if not sent:
        return {}
    command = ['squeue', '--noheader', '--array', '--user', getpass.getuser(), '-o', '%i %T']
    try:
        answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        if or_unknown:
            return dict.fromkeys(sent.values(), 'not known, Slurm does not answer here')
        reason = (getattr(error, 'stderr', '') or str(error)).strip()
        first = next(iter(sent))
        record = first.folder / JOB
        raise UserError(
            f'{first.name} was submitted to Slurm, which does not answer: {reason}. Call this '
            f'where squeue works or, if that Slurm is gone for good, delete {record}'
        ) from error
    return dict(line.split() for line in answer.stdout.splitlines())


def _number_of(job: Job) -> str | None:
    """Return the id under which Slurm knows a job; None also if its record is damaged."""
    try:
        return job_record_of(job.folder).get('slurm')
    except UserError:
        return None
