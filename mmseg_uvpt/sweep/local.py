"""The local engine: a queue of jobs for the GPUs of this machine, or for its processors."""

import os
import signal
import time
from collections.abc import Mapping, Sequence

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.processes import share_of_processors
from mmseg_uvpt.sweep.attempt import AlreadyDone, Attempt, Busy, set_aside, stop_all
from mmseg_uvpt.sweep.display import Screen
from mmseg_uvpt.sweep.jobs import Job
from mmseg_uvpt.sweep.status import State, Status, status_of

_STEP = 0.5  # seconds between two looks at the jobs
PATIENCE = 60  # seconds that a stopped script has to end by itself


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch  # seconds, which listing jobs does not cost

    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    count = torch.cuda.device_count()
    return named.split(',')[:count] if named else [str(i) for i in range(count)]


def places(gpus: Sequence[str], gpus_per_job: int, jobs_per_gpu: int) -> list[dict[str, str]]:
    """Return the environment of each place where a job can run.

    Args:
        gpus: of the machine; without any, jobs run on its processors, which they share.
        gpus_per_job: GPUs that a job takes together; 0 for the processors.
        jobs_per_gpu: jobs that share a GPU, or the processors.

    Raises:
        UserError: there are fewer GPUs than a job takes.
    """
    if gpus_per_job > max(1, len(gpus)):
        raise UserError(f'--gpus-per-job {gpus_per_job}: torch sees {len(gpus)} GPUs here')
    if gpus and gpus_per_job:
        groups = [gpus[i : i + gpus_per_job] for i in range(0, len(gpus), gpus_per_job)]
        whole = [','.join(group) for group in groups if len(group) == gpus_per_job]
        return [{'CUDA_VISIBLE_DEVICES': group} for _ in range(jobs_per_gpu) for group in whole]
    threads = os.environ.get('OMP_NUM_THREADS') or max(1, share_of_processors() // jobs_per_gpu)
    return [{'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': str(threads)}] * jobs_per_gpu


class LocalQueue:
    """Runs jobs in the order given, as many at a time as there are places.

    A job that another launcher runs is waited for, and taken over if it ends without a result.

    Args:
        jobs: those that can run are run.
        free: places, see `places`.
        screen: shows how they get on.
        queue: of Slurm, see `status_of`: what waits there is left to it.
        again: finished jobs that shall run once more.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        free: Sequence[dict[str, str]],
        screen: Screen,
        queue: Mapping[str, str],
        again: frozenset[Job] = frozenset(),
    ):
        self._screen = screen
        self._free = list(free)
        self.statuses = {job: status_of(job, queue) for job in jobs}
        self._again = set(again)
        self._waiting = [job for job in jobs if self._can_start(job)]
        self._elsewhere = [j for j in jobs if self.statuses[j].state is State.RUNNING]
        self._running: dict[Job, tuple[Attempt, dict[str, str]]] = {}
        self._tried: set[Job] = set()  # no job runs twice in one call

    def _can_start(self, job: Job) -> bool:
        state = self.statuses[job].state
        return state in (State.READY, State.FAILED) or (job in self._again and state is State.DONE)

    def run(self) -> dict[Job, Status]:
        """Return how each job stands in the end. However this is left, its scripts have ended."""
        try:
            while self._waiting or self._running or self._elsewhere:
                self._look()
                self._start()
                self._screen.update(self.statuses)
                time.sleep(_STEP)
        finally:
            stop_all([attempt for attempt, _ in self._running.values()], PATIENCE)
        self._screen.update(self.statuses)
        return self.statuses

    def _look(self) -> None:
        for job, (attempt, place) in list(self._running.items()):
            if attempt.poll() is not None:
                del self._running[job]
                self._free.append(place)
                attempt.signal(signal.SIGKILL)  # what the script started and left behind
                self._elsewhere.append(job)  # until that has ended too
            self.statuses[job] = status_of(job)
        for job in self._elsewhere[:]:
            self.statuses[job] = status_of(job)
            if self.statuses[job].state is not State.RUNNING:
                self._elsewhere.remove(job)
                if job not in self._tried and self._can_start(job):
                    self._waiting.append(job)

    def _start(self) -> None:
        while self._waiting and self._free:
            job, place = self._waiting.pop(0), self._free[0]
            try:
                if job in self._again:
                    self._again.remove(job)
                    job.require()
                    self._screen.say(f'{job.name}: earlier results are kept in {set_aside(job)}')
                self._running[job] = Attempt(job, place, _name(place)), place
                self._tried.add(job)
                del self._free[0]
            except Busy:
                self._elsewhere.append(job)
            except AlreadyDone:
                pass
            except (UserError, OSError) as error:
                self._screen.say(f'{job.name} cannot be started: {error}')
            self.statuses[job] = status_of(job)


def _name(place: dict[str, str]) -> str:
    gpus = place['CUDA_VISIBLE_DEVICES']
    return f'GPU {gpus}' if gpus else 'CPU'
