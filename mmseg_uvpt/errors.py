"""The one kind of error that users are meant to read."""

import io
import os
import signal
import sys
from collections.abc import Callable

# exit status of a training that was told to stop and can be resumed (EX_TEMPFAIL of sysexits.h)
STOPPED = 75
STOPPING = (signal.SIGTERM, signal.SIGUSR1)  # what tells it


class UserError(Exception):
    """Something the user can mend. The message names the thing, the value and the cure."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; one that says nothing is named by its type."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def run_cli(main: Callable[[], int | None]) -> None:
    """Run ``main`` and exit with its status; a `UserError` becomes one line and status 1.

    So does a file that cannot be used where nobody expected that, as long as it has a name. Names
    that are no UTF-8 are printed with their odd bytes as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        print(f'error: cannot use {error.filename}: {error.strerror}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
