"""Files written by threads beside the model."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from mmseg_uvpt.processes import share_of_processors

_MOST = 16  # threads; compression is done by fewer cores than a large machine has


class Writers:
    """Threads that write files while the model goes on.

    OpenCV compresses without Python's lock, and while a file waits for its disk nothing computes.
    No more jobs wait than twice the threads, so that a slow disk slows the model down instead of
    filling the memory.

    As a context, it has every job done at its end. If the block or a job raises, jobs that have
    not begun are dropped and those under way are finished: files are whole or not there.

    Raises:
        Exception: the first that a job raised, at the next `submit` or at the end of the block.
    """

    def __init__(self) -> None:
        threads = min(_MOST, share_of_processors())
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix='writer')
        self._room = threading.BoundedSemaphore(3 * threads)  # under way, and waiting
        self._error: BaseException | None = None

    def submit(self, job: Callable[..., object], *args: Any) -> None:
        """Have a thread call ``job(*args)``; wait while too many jobs do.

        Raises:
            Exception: that of a job that has failed; then this one is not done.
        """
        self._room.acquire()
        if self._error is not None:
            self._room.release()
            raise self._error
        self._pool.submit(self._unless_failed, job, *args).add_done_callback(self._done)

    def _unless_failed(self, job: Callable[..., object], *args: Any) -> None:
        if self._error is None:
            job(*args)

    def _done(self, future: Future) -> None:
        if not future.cancelled() and self._error is None:
            self._error = future.exception()
        self._room.release()

    def close(self) -> None:
        """Wait for all jobs and end the threads.

        Raises:
            Exception: that of a job that has failed.
        """
        self._pool.shutdown()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> 'Writers':
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._pool.shutdown(cancel_futures=True)
