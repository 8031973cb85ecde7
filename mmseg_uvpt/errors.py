"""The one kind of error that users are meant to read."""

import sys
from collections.abc import Callable

# exit status of a training that was told to stop and can be resumed (EX_TEMPFAIL of sysexits.h)
STOPPED = 75


class UserError(Exception):
    """Something the user can mend. The message names the thing, the value and the cure."""


def run_cli(main: Callable[[], int | None]) -> None:
    """Run ``main`` and exit with its status; a `UserError` becomes one line and status 1."""
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
