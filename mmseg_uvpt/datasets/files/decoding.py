"""From the bytes of an image file to its pixels, with a limit on how many a file may claim."""

import io
import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from mmseg_uvpt.datasets.files.data_error import DataError

# A file of some kB can claim 60,000 x 60,000 pixels, 10 GB once decoded. Cameras stay below this;
# the limits of OpenCV (2**30) and Pillow (a warning, then an error) are of different kinds.
MAX_PIXELS = 1 << 27  # 134 megapixels; 400 MB as an 8-bit image

READS_AVIF = find_spec('PIL._avif') is not None
READS_HEIF = find_spec('pillow_heif') is not None
FORMATS = (
    *('PNG', 'JPEG', 'WEBP', 'BMP', 'TIFF', 'GIF', 'PPM', 'JPEG2000'),
    *(('AVIF',) if READS_AVIF else ()),
    *(('HEIF',) if READS_HEIF else ()),
)
BY_PILLOW = ('GIF', 'AVIF', 'HEIF')  # what not every OpenCV reads
if READS_HEIF:
    import pillow_heif

    pillow_heif.register_heif_opener()

_END = b'\xff\xd9'
_MARKER = re.compile(rb'\xff[^\x00\xff]')
_IN_SCAN = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')  # ends a scan; what stands alone is no marker
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
_SCAN = 0xDA
_ARITHMETIC = (0xC9, 0xCA)  # kinds of coding that may leave out zeros at the end of a scan
_FILLER = bytes(range(1, 255)) * 8
_DARK = 64  # below it lies, cut to 8 bits, what uses 14 of 16 bits or fewer


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


def decode_colour(data: bytes, path: str | Path) -> np.ndarray:
    """Return the pixels of an image file's bytes in 8-bit colour, not turned.

    Of 16 bits the upper 8 are taken, of alpha nothing.

    Args:
        data: as `decode` takes them.
        path: of the file, for the error.

    Returns:
        np.ndarray: uint8 (H, W, 3), B, G, R.

    Raises:
        ValueError: they cannot be decoded.
        DataError: values of fewer bits, as cameras give them, lie in 16: the image would be nearly
            black.
    """
    pixels = decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels.max() < _DARK:
        stored = decode(data, cv2.IMREAD_UNCHANGED)
        if stored.dtype == np.uint16 and (most := int(stored.max())):
            raise DataError(
                f'{path} has 16 bits a value, of which it uses {most.bit_length()} (its largest is '
                f'{most} of 65535): it would be read as nearly black. Save it as 8-bit RGB, '
                'brightened.'
            )
    return pixels


def decode_by_pillow(data: bytes) -> np.ndarray:
    """Return the pixels of an image file's bytes, upright, without alpha.

    Returns:
        np.ndarray: uint8 (H, W, 3), B, G, R.

    Raises:
        ValueError: they cannot be decoded.
    """
    try:
        with open_head(data) as image:
            image.load()  # some formats turn it here, others not
            pixels = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
            return np.ascontiguousarray(pixels[..., ::-1])
    except (OSError, SyntaxError, EOFError, RuntimeError) as error:
        raise ValueError(str(error) or 'its pixels cannot be decoded') from error


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


def jpeg_end(data: bytes) -> int:
    """Return where a JPEG ends: phones put clips and notes behind it.

    Args:
        data: contents of the file.

    Returns:
        int: number of bytes up to the end that the last of its segments has.

    Raises:
        ValueError: it has none.
    """
    place = 2
    while marker := _MARKER.search(data, place):
        kind, place = data[marker.start() + 1], marker.end()
        if kind == _END[1]:
            return place
        if kind not in _WITHOUT_LENGTH:
            place += max(2, int.from_bytes(data[place : place + 2], 'big'))
        if kind == _SCAN:
            found = _IN_SCAN.search(data, place)
            place = found.start() if found else len(data)
    raise ValueError('its end is missing')


def is_short_jpeg(data: bytes, end: int, pixels: np.ndarray) -> bool:
    """Tell whether pixels are missing before the end of a JPEG, which decoders paint in grey.

    It is looked at where bytes behind the end or a grey last row give reason to: whatever is put
    before the end of a whole picture changes nothing.

    Args:
        data: contents of the file.
        end: from `jpeg_end`.
        pixels: (H, W, 3) as decoded, not turned.
    """
    if end == len(data) and (pixels[-1] != 128).any():
        return False
    if any(bytes([0xFF, kind]) in data[:end] for kind in _ARITHMETIC):
        return False
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
    scans = data[: end - len(_END)]
    return not np.array_equal(decode(scans + _END, flags), decode(scans + _FILLER + _END, flags))
