"""Turn the failures that a user can mend into one clear error."""

import errno
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import MMLogger

from mmseg_uvpt.engine.training.distributed import lost_a_process
from mmseg_uvpt.errors import UserError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _again() -> str:
    return 'run the same command again'


@contextmanager
def readable_failures(folder: str, cure: Callable[[], str] = _again) -> Iterator[None]:
    """Raise a `UserError` where a run fails because of a file or folder.

    Args:
        folder: of the run; named in the error where the failing call does not name its file.
        cure: called after a failure; returns how the run is taken up once that is mended.

    Raises:
        UserError: no space is left; a file or folder cannot be used; a `UserError` was raised
            in a worker of a data loader, which torch wraps in that worker's traceback; such a
            worker, or one of several processes, has ended.
    """
    raise_exceptions = logging.raiseExceptions
    logging.raiseExceptions = False  # a full disk would else print a traceback a log line
    try:
        yield
    except UserError as error:
        message = _innermost(str(error))
        if _lacks_cure(message, error.__cause__):
            message = f'{message.rstrip(".")}. {_first(error.__cause__)} and {cure()}'
        raise UserError(message) from error
    except OSError as error:
        verb = 'write' if error.errno in _NO_SPACE else 'use'
        name = error.filename or f'a file of the run in {folder}'
        # an error of a worker has no strerror; its last line is what the worker raised
        reason = error.strerror or (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise UserError(f'cannot {verb} {name}: {reason}. {_first(error)} and {cure()}') from error
    except RuntimeError as error:
        if lost_a_process(error):
            raise UserError(
                'another process of this run has ended, and so does this one: what that one '
                f'printed last says why. Then {cure()}'
            ) from error
        if str(error).startswith('DataLoader worker'):
            raise UserError(
                f'{error}: a process that loads data was ended from outside, mostly for want of '
                f'memory. Use fewer of them (--cfg-options train_dataloader.num_workers=1, or of '
                f'whichever loader is at work: val_, test_ or target_train_dataloader) and {cure()}'
            ) from error
        _log(error, folder)
        raise
    except Exception as error:
        _log(error, folder)
        raise
    finally:
        logging.raiseExceptions = raise_exceptions


def _log(error: Exception, folder: str) -> None:
    """Write the traceback of a failure that nobody expected into the log of the run, if it has one.

    The error keeps the name of that file as ``logged_in``, for `errors.readable`.
    """
    text = ''.join(traceback.format_exception(error))
    for handler in MMLogger.get_current_instance().handlers:
        file = getattr(handler, 'baseFilename', None)
        if file and Path(file).is_relative_to(Path(folder).resolve()):
            handler.handle(logging.makeLogRecord({'levelno': logging.ERROR, 'msg': text}))
            error.logged_in = file


def _first(error: OSError) -> str:
    return 'Free some space' if error.errno in _NO_SPACE else 'Mend that or choose another folder'


def _lacks_cure(message: str, cause: BaseException | None) -> bool:
    """Tell whether a file was not written and the error (`files.write_whole`) only says so."""
    unwritten = isinstance(cause, OSError) and message.startswith('cannot write ')
    return unwritten and 'ree some space' not in message


def _innermost(message: str) -> str:
    """Return what the worker raised, without the traceback that torch puts around it."""
    name = f'{UserError.__module__}.{UserError.__qualname__}: '
    if message.startswith('Caught UserError in ') and name in message:
        return message.rsplit(name, 1)[1].strip()
    return message
