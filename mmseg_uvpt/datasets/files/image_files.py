"""Reading images of any usual format."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.decoding import (
    BY_PILLOW,
    FORMATS,
    READS_AVIF,
    READS_HEIF,
    check_pixels,
    decode_by_pillow,
    decode_colour,
    is_short_jpeg,
    jpeg_end,
    open_head,
)
from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.datasets.files.png_files import (
    CURE,
    SIGNATURE,
    bytes_of,
    check_whole_png,
    png_header,
    read_colour_png,
)
from mmseg_uvpt.datasets.files.tiff_files import TIFF_STARTS, check_tiff

_AVIF, _HEIF = ('.avif',), ('.heic', '.heif', '.hif')
SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.dib', '.tif', '.tiff', '.gif'),
    *('.ppm', '.pgm', '.pbm', '.pnm', '.jp2', '.j2k', *(_AVIF * READS_AVIF)),
    *(_HEIF * READS_HEIF),
)
# of what else is an image, to be named where it is left out
_OTHER_SUFFIXES = (
    *(*_AVIF, *_HEIF, '.jxl', '.jxr', '.svg', '.psd', '.xcf', '.exr', '.hdr', '.tga', '.ico'),
    *('.dng', '.cr2', '.cr3', '.nef', '.arw', '.orf', '.rw2', '.raf', '.pcx', '.ras', '.pfm'),
)
_BRANDS = {  # what such a file has in its bytes 8 to 11
    **dict.fromkeys((b'avif', b'avis'), 'AVIF'),
    **dict.fromkeys((b'heic', b'heix', b'heim', b'heis', b'hevc', b'mif1', b'msf1'), 'HEIF'),
}
_LIBRARIES = {
    'AVIF': 'AVIF is read with Pillow 11.3 and later: pip install -U pillow',
    'HEIF': 'HEIC is read with pillow-heif: pip install pillow-heif',
}
# what precedes the pixels of a PGM or PPM: sides, and the value of white, which is one of these or
# would be taken for one
_MOST = re.compile(rb'P[2356]' + 3 * rb'(?:\s|#[^\n]*\n)+(\d+)')
_WHITE = (255, 65535)
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)  # of EXIF: how a camera was held
_TURNS = {  # what turns an image upright
    2: lambda a: cv2.flip(a, 1),
    3: lambda a: cv2.rotate(a, cv2.ROTATE_180),
    4: lambda a: cv2.flip(a, 0),
    5: cv2.transpose,
    6: lambda a: cv2.rotate(a, cv2.ROTATE_90_CLOCKWISE),
    7: lambda a: cv2.flip(cv2.transpose(a), -1),
    8: lambda a: cv2.rotate(a, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def images_below(folder: Path) -> tuple[list[Path], str]:
    """Find the images below a folder; links that lead nowhere are among them.

    Returns:
        tuple: paths in order, and a sentence that names what was left out, empty if nothing was.

    Raises:
        DataError: see `file_walk.paths_below`.
    """
    paths = [path for path in map(Path, paths_below(folder)) if not path.is_dir()]
    found = sorted(path for path in paths if path.suffix.lower() in SUFFIXES)
    return found, left_out(folder, (path for path in paths if path.suffix.lower() not in SUFFIXES))


def without_suffix(name: str, suffixes: tuple[str, ...]) -> str:
    """Return an image's name without the longest of the suffixes that it has."""
    return name.removesuffix(max(filter(name.endswith, suffixes), key=len, default=''))


def left_out(folder: str | Path, paths: Iterable[str | Path]) -> str:
    """Return a sentence that counts the images among paths that are not used, by their suffixes.

    Args:
        folder: where they lie.
        paths: of files of any kind.
    """
    suffixes = (Path(path).suffix.lower() for path in paths)
    counts = Counter(s for s in suffixes if s in SUFFIXES or s in _OTHER_SUFFIXES)
    if not counts:
        return ''
    total = counts.total()
    number = '1 image is' if total == 1 else f'{total} images are'
    kinds = ', '.join(f'{suffix} ({count})' for suffix, count in sorted(counts.items()))
    cures = [
        _LIBRARIES[kind]
        for kind, ending in (('AVIF', _AVIF), ('HEIF', _HEIF))
        if kind not in FORMATS and counts.keys() & {*ending}
    ]
    return '. '.join([f'{number} left out in {folder}: {kinds}', *cures])


def read_image(path: str | Path) -> np.ndarray:
    """Return an image in 8-bit colour.

    What is called ``.png`` must be one, and is read as `read_colour_png` does. Photographs in other
    formats are turned upright where their camera noted how it was held.

    Returns:
        np.ndarray: uint8 (H, W, 3), B, G, R.

    Raises:
        DataError: the file is missing, truncated, damaged, too large, of a kind that is not
            read, or nearly black: see `decoding.decode_colour`.
    """
    if _is_called_png(path):
        return read_colour_png(path)
    data = bytes_of(path)
    if data.startswith(SIGNATURE):
        return read_colour_png(path)
    head = _Head(data, path)
    try:
        return head.pixels()
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
    if _is_called_png(path):
        return png_header(path, cure).size
    data = bytes_of(path)
    if data.startswith(SIGNATURE):
        return png_header(path, cure).size
    return _Head(data, path).size


def check_image(path: str | Path) -> None:
    """Make sure that a file begins as an image of a bearable size; nothing is decoded.

    Raises:
        DataError: it does not, or cannot be read.
    """
    _Head(bytes_of(path), path)


def check_whole_image(path: str | Path) -> tuple[int, int]:
    """Make sure that an image can be read as `read_image` does; pixels of PNGs are not decoded.

    Returns:
        tuple[int, int]: height and width.

    Raises:
        DataError: it cannot be read.
    """
    return check_whole_png(path) if _is_called_png(path) else read_image(path).shape[:2]


@contextmanager
def naming(path: str | Path, pixels: np.ndarray | None = None) -> Iterator[None]:
    """Name the image where a transform finds nothing of it to work on.

    Args:
        path: of the image, or what it is called that is given as pixels (H, W, 3).
        pixels: None of a file.

    Raises:
        DataError: OpenCV refused to resize or to cut it.
    """
    try:
        yield
    except cv2.error as error:
        height, width = image_size(path) if pixels is None else pixels.shape[:2]
        raise DataError(
            f'{path} is {width} x {height} pixels: resized and cut as the config says, nothing is '
            f'left of it ({error.err or error.code}). Take it away.'
        ) from error


def _is_called_png(path: str | Path) -> bool:
    return Path(path).suffix.lower() == '.png'


class _Head:
    """What is known of an image file before its pixels are decoded.

    Args:
        data: contents of the file.
        path: its name, for errors.

    Attributes:
        size: (height, width) of the upright image.

    Raises:
        DataError: it begins as no image, is cut short, too large, or of a kind that is not read.
    """

    def __init__(self, data: bytes, path: str | Path):
        self.data, self.path = data, path
        self.orientation = 1  # what is to be turned here
        self.by_pillow = False
        try:
            if data.startswith(TIFF_STARTS):  # Pillow does not open what it has no name for
                self.kind = 'TIFF'
                self.size, self.by_pillow = check_tiff(data, path)
                check_pixels(path, self.size)
                return
            with open_head(data) as head:
                self._take(head)
        except DataError:
            raise
        except OSError as error:  # Pillow's message names a buffer, not a file
            kind = _BRANDS.get(data[8:12]) if data[4:8] == b'ftyp' else None
            if kind and kind not in FORMATS:
                raise DataError(f'{path} cannot be read: {_LIBRARIES[kind]}') from error
            begins = f'it begins as none of {", ".join(FORMATS)} does'
            raise _unusable(path, begins) from error
        except Exception as error:  # the bytes steer the reader: it may fail in any way
            raise _unusable(path, error) from error

    def _take(self, head: Image.Image) -> None:
        path = self.path
        self.kind = head.format
        check_pixels(path, (head.height, head.width))
        if self.kind in ('JPEG', 'MPO'):
            self.end = jpeg_end(self.data)
            if 8 * self.end < (head.height // 8) * (head.width // 8):
                raise ValueError(
                    f'{self.end} bytes cannot hold its {head.width} x {head.height} pixels'
                )
        elif self.kind != 'HEIF' and getattr(head, 'is_animated', False):
            raise DataError(
                f'{path} is an animation of {head.n_frames} images: save the one meant alone'
            )
        if self.kind == 'PPM' and (most := _MOST.match(self.data)) and int(most[3]) not in _WHITE:
            raise DataError(f'{path} has values up to {int(most[3])}: save it as 8-bit RGB')
        if head.mode == 'F':
            raise DataError(f'{path} holds floats: save it as 8-bit RGB')
        self.by_pillow = self.kind in BY_PILLOW
        self.orientation = _orientation(head)
        lies = self.orientation in _LYING
        self.size = (head.width, head.height) if lies else (head.height, head.width)

    def pixels(self) -> np.ndarray:
        """Return the upright image, uint8 (H, W, 3), B, G, R.

        Raises:
            ValueError: it cannot be decoded.
            DataError: see `decode_colour`.
        """
        if self.by_pillow:
            return decode_by_pillow(self.data)
        pixels = decode_colour(self.data, self.path)
        if self.kind in ('JPEG', 'MPO') and is_short_jpeg(self.data, self.end, pixels):
            raise ValueError('its end is missing, before other data')
        turn = _TURNS.get(self.orientation)
        return turn(pixels) if turn else pixels


def _orientation(head: Image.Image) -> int:
    """Return how the camera noted that it was held; a note that is damaged is none."""
    try:
        return head.getexif().get(_ORIENTATION, 1)
    except Exception:  # the bytes steer the reader: it may fail in any way
        return 1


def _unusable(path: str | Path, reason: Exception | str) -> DataError:
    return DataError(
        f'{path} cannot be read as an image ({reason}): truncated, damaged or another kind of '
        'file. Put it there again from where it came from, or take it away.'
    )
