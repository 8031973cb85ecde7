"""What the kernel does for processes that belong together."""

import contextvars
import ctypes
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have this process be sent a signal when its parent ends, however that ends.

    Args:
        parent: process id of the parent; if it has ended already, so does this process.
        number: the signal.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def share_of_processors() -> int:
    """Return the processors a process may use, divided among those that torchrun started here."""
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ.get('LOCAL_WORLD_SIZE', 1)))


@contextmanager
def handling(numbers: Iterable[int], handler: Callable) -> Iterator[None]:
    """Have signals handled so within the block, and as before after it."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def interrupt(number: int, frame: object) -> None:
    """Handle a signal as Ctrl-C: what is open is closed, and temporary files are removed."""
    raise KeyboardInterrupt


def run_apart(run: Callable[[], str | None], seconds: float) -> None:
    """Run a function in a copy of this process, which ends within a time whatever it is doing.

    What it starts ends with it. Nothing of this process changes, but files that the function
    writes; what it prints is not shown.

    Args:
        run: returns None, or in a line why it failed. It runs in a thread of its own, since those
            that this process computes with are not copied.
        seconds: that it may take.

    Raises:
        TimeoutError: it took longer.
        RuntimeError: it failed; the message says why.
    """
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(run, sender, os.getpid()))
    with warnings.catch_warnings():  # of threads that are not copied, see above
        warnings.simplefilter('ignore', DeprecationWarning)
        child.start()
    sender.close()
    try:
        if not wait([receiver, child.sentinel], seconds):
            raise TimeoutError(f'not done after {seconds:.0f} s')
        try:
            failure = receiver.recv()
        except EOFError:
            child.join()
            failure = f'its process ended with status {child.exitcode}'
        if failure is not None:
            raise RuntimeError(failure)
    finally:
        receiver.close()
        _end_group(child)


def _run(run: Callable[[], str | None], sender: Connection, parent: int) -> None:
    """Be the copy: the first of a group of processes, with nobody's signal handlers."""
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    die_with(parent)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: sender.send(context.run(run)))
    thread.start()
    thread.join()
    os._exit(0)  # what is to be done when this process ends is its parent's affair


def _end_group(child: multiprocessing.process.BaseProcess) -> None:
    """End a process and the group it is the first of: politely, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        child.join(1)
        if child.exitcode is not None and not _is_running(child.pid):
            return


def _is_running(group: int) -> bool:
    """Wait a second for the processes of a group to end; tell whether one has not."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True
