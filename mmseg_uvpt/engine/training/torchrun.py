"""torchrun for one machine that ends with the status its processes end with.

``python -m mmseg_uvpt.engine.training.torchrun --nproc-per-node=2 train.py ...``: torchrun itself
ends with 1 whatever happened, so that whoever started it cannot tell a training that was told to
stop from one that failed. The launchers use this. SIGUSR1 is handed on to the processes too.
"""

import signal
import sys
from collections.abc import Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from mmseg_uvpt.errors import STOPPED, STOPPING

_HANDED_ON = [*STOPPING, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a script in several processes.

    Args:
        argv: arguments as torchrun takes them; those of the process by default.

    Returns:
        int: 0; `errors.STOPPED` if the processes were told to stop; else the status of the process
        that failed first, or 128 and the signal that ended it.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    signals = ','.join(number.name for number in _HANDED_ON)
    try:
        run.main(['--standalone', f'--signals-to-handle={signals}', *argv])
    except ChildFailedError as error:
        if all(failure.exitcode == STOPPED for failure in error.failures.values()):
            return STOPPED
        rank, first = error.get_first_failure()
        ended = f'status {first.exitcode}' if first.exitcode > 0 else first.signal_name()
        print(
            f'error: process {rank} of those that torchrun started ended first, with {ended}; '
            'what it printed stands above',
            file=sys.stderr,
        )
        return _status(first.exitcode)
    except SignalException as error:
        return STOPPED if error.sigval in STOPPING else _status(-error.sigval)
    return 0


def _status(exit_code: int) -> int:
    return exit_code if exit_code >= 0 else 128 - exit_code


if __name__ == '__main__':
    sys.exit(main())
