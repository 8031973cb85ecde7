"""The one kind of error that users are meant to read."""

import errno
import functools
import io
import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from textwrap import shorten

from mmseg_uvpt.shipped import find_config
from mmseg_uvpt.subcommands import as_typed

# exit status of a training that was told to stop and can be resumed (EX_TEMPFAIL of sysexits.h)
STOPPED = 75
STOPPING = (signal.SIGTERM, signal.SIGUSR1)  # what tells it


class UserError(Exception):
    """Something the user can mend. The message names the thing, the value and the cure."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; one that says nothing is named by its type."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def why_not_imported(error: BaseException) -> str:
    """Say why a module could not be imported: what failed first, and where it stands.

    mmengine tells of the module alone, and keeps the rest as the context of its error.
    """
    while isinstance(error, ImportError) and (first := error.__cause__ or error.__context__):
        error = first
    told = f'{type(error).__name__}: {first_line(error)}'
    places = traceback.extract_tb(error.__traceback__)
    # where Python's own importing failed, no file of the user's is at fault
    if os.path.isfile(places[-1].filename) and 'importlib' not in places[-1].filename:
        told += f' ({places[-1].filename}, line {places[-1].lineno})'
    if isinstance(error, ModuleNotFoundError):
        told += '. Install it, or put the folder that holds it into PYTHONPATH'
    return told


def readable(main: Callable[..., None]) -> Callable[..., None]:
    """Let a script raise a `UserError` wherever its config or its options lead to a failure.

    A config can be wrong in more ways than anybody checks: what is built from it, and what then
    runs, complains in its own words. These are one line, with the config and its options.

    Args:
        main: takes the arguments; those of the process by default.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> None:
        argv = sys.argv[1:] if argv is None else list(argv)
        try:
            main(argv)
        except UserError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and is_named(error):
                raise
            config = next((text for text in argv if find_config(text).suffix == '.py'), 'given')
            after = argv[argv.index('--cfg-options') + 1 :] if '--cfg-options' in argv else []
            options = ' '.join(itertools.takewhile(lambda text: not text.startswith('-'), after))
            mend = f', or what --cfg-options sets: {options}' if options else ''
            if file := getattr(error, 'logged_in', None):  # by `failures.readable_failures`
                mend += f'. {file} has the traceback'
            reason = shorten(str(error.args[0] if error.args else ''), 400, placeholder=' ...')
            raise UserError(
                f'config {config} cannot be run: {type(error).__name__}: {reason}. Mend it{mend}'
            ) from error

    return run


def is_named(error: OSError) -> bool:
    """Tell whether `run_cli` has a sentence for an error."""
    return error.filename is not None or error.errno in (errno.ENOSPC, errno.EPIPE)


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
        print(f'error: {as_typed(str(error), sys.argv[1:])}', file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if not is_named(error):
            raise
        what = f'cannot use {error.filename}' if error.filename else 'cannot write'
        print(f'error: {what}: {error.strerror}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
