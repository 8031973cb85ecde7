"""From the bytes of an image file to its pixels, with a limit on how many a file may claim."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_uvpt.datasets.data_error import DataError

# A file of some kB can claim 60,000 x 60,000 pixels, 10 GB once decoded. Cameras stay below this;
# the limits of OpenCV (2**30) and Pillow (a warning, then an error) are of different kinds.
MAX_PIXELS = 1 << 27  # 134 megapixels; 400 MB as an 8-bit image
FORMATS = ('PNG', 'JPEG', 'WEBP', 'BMP', 'TIFF')


def check_pixels(path: str | Path, size: tuple[int, int]) -> None:
    """Refuse a file that claims a height and width of more than `MAX_PIXELS`.

    Raises:
        DataError: it does.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError(
            f'{path} claims to be {size[1]} x {size[0]} pixels, more than the {MAX_PIXELS:,} that '
            'are read here: it is damaged, or made to exhaust the memory. Take it away, or make '
            'it smaller.'
        )


def decode(data: bytes, flags: int) -> np.ndarray:
    """Return the pixels of an image file's bytes, in OpenCV's order of channels (B, G, R).

    Args:
        data: contents of the file, whose size passed `check_pixels`.
        flags: as `cv2.imdecode` takes them.

    Raises:
        ValueError: they cannot be decoded.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ValueError(error.err or str(error)) from error
    if pixels is None:
        raise ValueError('its pixels cannot be decoded')
    return pixels


def open_head(data: bytes) -> Image.Image:
    """Open an image file's bytes with Pillow, one of `FORMATS`; nothing is decoded yet.

    Raises:
        OSError, SyntaxError, ValueError: they begin as no image does.
    """
    with warnings.catch_warnings():  # of sizes that `check_pixels` passes, and of odd tags
        warnings.simplefilter('ignore')
        try:
            return Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(str(error)) from error
