"""Reading PNG files, with certainty that they are whole.

OpenCV 4 fills the missing rows of a truncated PNG with zeros and reports success, OpenCV 5 prints
to stderr and returns None, Pillow's `verify` checks every chunk but does not ask for the last four
bytes. Checking the chunks before decoding makes all of them one error.
"""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_uvpt.datasets.data_error import DataError

_END = b'\x00\x00\x00\x00IEND\xaeB`\x82'  # the last chunk: length 0, name, checksum


def png_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) from the header; nothing else of the file is read.

    Raises:
        DataError: there is no such file, or it is no PNG.
    """
    try:
        with Image.open(path, formats=['PNG']) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error


def check_whole_png(path: str | Path) -> tuple[int, int]:
    """Check every chunk's checksum and the end of the file, without decoding the pixels.

    Returns:
        tuple[int, int]: height and width.

    Raises:
        DataError: the file is missing, truncated or damaged.
    """
    try:
        data = Path(path).read_bytes()
        image = Image.open(io.BytesIO(data), formats=['PNG'])
        size = image.height, image.width
        image.verify()
        if data.rfind(_END) < 0:
            raise OSError('the end of the file is missing')
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error
    return size


def read_png(path: str | Path) -> np.ndarray:
    """Return the pixels as stored, channels in OpenCV's order (B, G, R).

    Returns:
        np.ndarray: uint8 or uint16, (H, W) or (H, W, channels).

    Raises:
        DataError: the file is missing, truncated or damaged.
    """
    check_whole_png(path)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise _unreadable(path, 'its pixels cannot be decoded')
    return pixels


def _unreadable(path: str | Path, reason: Exception | str) -> DataError:
    if isinstance(reason, FileNotFoundError):
        return DataError(f'{path} does not exist')
    if isinstance(reason, Image.UnidentifiedImageError):
        reason = 'it does not start as a PNG does'
    return DataError(
        f'{path} is not a whole PNG ({reason}): truncated or damaged. Put it there again from '
        'where it came from.'
    )
