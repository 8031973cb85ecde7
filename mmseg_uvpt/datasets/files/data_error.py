"""The error of a file that cannot be used."""

from mmseg_uvpt.errors import UserError


class DataError(UserError):
    """A file of a data set is missing, damaged or encoded otherwise than it should be.

    A data loader's worker process passes errors on as text: torch builds the exception anew in
    the main process from the message with the worker's traceback around it. What the user should
    read is the message alone, so the constructor takes it out of such a text.
    """

    def __init__(self, message: str) -> None:
        marker = f'{type(self).__module__}.{type(self).__qualname__}: '
        super().__init__(message.rpartition(marker)[2].strip())
