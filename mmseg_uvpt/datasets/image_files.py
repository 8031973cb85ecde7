"""Reading images of any usual format."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_uvpt.datasets.data_error import DataError
from mmseg_uvpt.datasets.decoding import FORMATS, check_pixels, decode, open_head
from mmseg_uvpt.datasets.png_files import CURE, SIGNATURE, png_header, read_colour_png
from mmseg_uvpt.files import open_regular, why_unreadable

SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff')
_JPEG_SCAN, _JPEG_END = b'\xff\xda', b'\xff\xd9'
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)  # of EXIF: how a camera was held


def images_below(folder: Path) -> list[Path]:
    """Return the images below a folder, in order; links that lead nowhere are among them."""
    return sorted(
        path
        for path in folder.rglob('*')
        if path.suffix.lower() in SUFFIXES and not path.is_dir() and not path.name.startswith('.')
    )


def read_image(path: str | Path) -> np.ndarray:
    """Return an image in 8-bit colour.

    What is called ``.png`` must be one, and is read as `read_colour_png` does. Photographs in other
    formats are turned upright where their camera noted how it was held.

    Returns:
        np.ndarray: uint8 (H, W, 3), B, G, R.

    Raises:
        DataError: the file is missing, truncated, damaged or too large.
    """
    if Path(path).suffix == '.png':
        return read_colour_png(path)
    data = _read(path)
    if data.startswith(SIGNATURE):
        return read_colour_png(path)
    _check_head(data, path)
    try:
        return decode(data, cv2.IMREAD_COLOR)
    except ValueError as error:
        raise _unusable(path, error) from error


def image_size(path: str | Path, cure: str = CURE) -> tuple[int, int]:
    """Return the (height, width) that `read_image` would give, without decoding pixels.

    Args:
        path: of the image.
        cure: what to do about a damaged PNG; ends the error.

    Raises:
        DataError: the file cannot be read, or is no image of a bearable size.
    """
    if Path(path).suffix == '.png':
        return png_header(path, cure).size
    data = _read(path)
    if data.startswith(SIGNATURE):
        return png_header(path, cure).size
    _check_head(data, path)
    with open_head(data) as head:
        return (head.width, head.height) if _lies(head) else (head.height, head.width)


def check_image(path: str | Path) -> None:
    """Make sure that a file begins as an image of a bearable size; nothing is decoded.

    Raises:
        DataError: it does not, or cannot be read.
    """
    _check_head(_read(path), path)


def _read(path: str | Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise DataError(f'{path} {why_unreadable(path, error)}') from error


def _lies(head: Image.Image) -> bool:
    """Tell whether the camera noted that it was held sideways; a note that is damaged is none."""
    try:
        return head.getexif().get(_ORIENTATION) in _LYING
    except Exception:  # the bytes steer the reader: it may fail in any way
        return False


def _check_head(data: bytes, path: str | Path) -> None:
    """Refuse an image file's bytes if they begin as no image, or cannot hold what that says."""
    try:
        with open_head(data) as head:
            check_pixels(path, (head.height, head.width))
            if head.format == 'JPEG':
                _check_jpeg(data, head.height, head.width)
    except OSError as error:  # Pillow's message names a buffer, not a file
        raise _unusable(path, f'it begins as none of {", ".join(FORMATS)} does') from error
    except (SyntaxError, ValueError) as error:
        raise _unusable(path, error) from error


def _check_jpeg(data: bytes, height: int, width: int) -> None:
    """Refuse a JPEG that is cut short: decoders paint what is missing and report success.

    Raises:
        ValueError: its last scan has no end; or not even a bit is there for each block of pixels.
    """
    if data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise ValueError('its end is missing')
    if 8 * len(data) < (height // 8) * (width // 8):
        raise ValueError(f'{len(data)} bytes cannot hold its {width} x {height} pixels')


def _unusable(path: str | Path, reason: Exception | str) -> DataError:
    return DataError(
        f'{path} cannot be read as an image ({reason}): truncated, damaged or another kind of '
        'file. Put it there again from where it came from, or take it away.'
    )
