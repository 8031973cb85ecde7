"""Turn the failures that a user can mend into one clear error."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mmseg_uvpt.errors import UserError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def readable_failures(work_dir: str) -> Iterator[None]:
    """Raise a `UserError` where a run fails for want of space or because of a file it reads.

    Args:
        work_dir: named in the error where the failing write does not name its file.

    Raises:
        UserError: no space is left; or a `UserError` was raised in a worker of a data loader,
            which torch wraps in that worker's traceback.
    """
    raise_exceptions = logging.raiseExceptions
    logging.raiseExceptions = False  # a full disk would else print a traceback a log line
    try:
        yield
    except UserError as error:
        raise UserError(_innermost(str(error))) from error
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise UserError(
            f'cannot write {error.filename or "below " + work_dir}: {error.strerror}. Free some '
            'space and run the same command with --resume, or choose another --work-dir; '
            'checkpoints written so far are whole'
        ) from error
    finally:
        logging.raiseExceptions = raise_exceptions


def _innermost(message: str) -> str:
    """Return what the worker raised, without the traceback that torch puts around it."""
    name = f'{UserError.__module__}.{UserError.__qualname__}: '
    if message.startswith('Caught UserError in ') and name in message:
        return message.rsplit(name, 1)[1].strip()
    return message
