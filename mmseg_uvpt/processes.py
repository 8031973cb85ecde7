"""What the kernel does for processes that belong together."""

import ctypes
import os
import signal

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
