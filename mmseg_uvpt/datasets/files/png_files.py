"""Reading PNG files, with certainty that they are whole and of a size that memory holds.

OpenCV 4 fills the missing rows of a truncated PNG with zeros and reports success, OpenCV 5 prints
to stderr and returns None, Pillow's `verify` checks every chunk but does not ask for the last four
bytes; and each has another idea of how large an image may be. Looking at the chunks before anything
is decoded makes all of them one error.
"""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.decoding import check_pixels, decode, decode_colour, open_head
from mmseg_uvpt.files import read_bytes, why_unreadable

CURE = 'Put it there again from where it came from.'
GREY, PALETTE = 0, 3  # PNG's numbers for how colours are stored

SIGNATURE = b'\x89PNG\r\n\x1a\n'
_HEADER = struct.Struct('>8sI4sIIBBBBBI')  # signature, length, IHDR, its seven fields, checksum


class PngHeader(NamedTuple):
    """What a PNG says of itself."""

    height: int
    width: int
    bits: int
    colour: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


def png_header(path: str | Path, cure: str = CURE) -> PngHeader:
    """Read the header and nothing else of the file.

    Args:
        path: of the file.
        cure: what to do about a damaged file; ends the error.

    Raises:
        DataError: the file cannot be opened, is no PNG, or claims more than `decoding.MAX_PIXELS`.
    """
    return _header(bytes_of(path, _HEADER.size), path, cure)


def check_whole_png(path: str | Path) -> tuple[int, int]:
    """Check every chunk's checksum and the end of the file, without decoding the pixels.

    Returns:
        tuple[int, int]: height and width.

    Raises:
        DataError: the file is missing, truncated, damaged, or claims too many pixels.
    """
    return read_whole_png(path)[1].size


def read_whole_png(path: str | Path, cure: str = CURE) -> tuple[bytes, PngHeader]:
    """Return the bytes of a PNG that `check_whole_png` passes, and its header.

    Raises:
        DataError: see there.
    """
    data = bytes_of(path)
    header = _header(data, path, cure)
    position, names = len(SIGNATURE), set()
    while b'IEND' not in names:
        length = int.from_bytes(data[position : position + 4], 'big')
        start, end = position + 4, position + 8 + length
        if len(data) < end + 4:
            raise _damaged(path, 'its end is missing', cure)
        checksum = int.from_bytes(data[end : end + 4], 'big')
        if zlib.crc32(memoryview(data)[start:end]) != checksum:
            raise _damaged(path, f'the checksum at byte {end} is wrong', cure)
        name = data[start : start + 4]
        if name == b'IHDR' and name in names:  # Pillow would follow this one, OpenCV the first
            raise _damaged(path, 'it has a second header', cure)
        names.add(name)
        position = end + 4
    if b'acTL' in names:
        raise _damaged(path, 'it is an animation, of which each program shows another part', cure)
    return data, header


def read_png(path: str | Path) -> np.ndarray:
    """Return the pixels of a colour or 16-bit PNG as stored, channels in OpenCV's order (B, G, R).

    Returns:
        np.ndarray: uint8 or uint16, (H, W) or (H, W, channels).

    Raises:
        DataError: the file is missing, truncated or damaged.
    """
    return _decoded(read_whole_png(path)[0], cv2.IMREAD_UNCHANGED, path, CURE)


def read_colour_png(path: str | Path) -> np.ndarray:
    """Return the pixels of any PNG in 8-bit colour: grey is spread, 16 bits and alpha are cut.

    An orientation that a camera noted in it is not applied: labels have none, and they lie on the
    pixels as stored.

    Returns:
        np.ndarray: uint8 (H, W, 3), B, G, R.

    Raises:
        DataError: the file is missing, truncated or damaged, or nearly black: see `decode_colour`.
    """
    data, _ = read_whole_png(path)
    try:
        return decode_colour(data, path)
    except ValueError as error:
        raise _damaged(path, error, CURE) from error


def read_grey_png(path: str | Path, what: str, cure: str = CURE) -> np.ndarray:
    """Return the values of an 8-bit grey PNG. (Decoders spread fewer bits over 0..255.)

    Args:
        path: of the file.
        what: it should be, for the error.
        cure: what to do if it is not.

    Returns:
        np.ndarray: uint8 (H, W).

    Raises:
        DataError: the file is missing, damaged, or encoded otherwise.
    """
    data, header = read_whole_png(path, cure)
    if (header.colour, header.bits) != (GREY, 8):
        raise DataError(
            f'{path}: {what} has one channel of 8 bits, this one {describe(header)}. {cure}'
        )
    return _decoded(data, cv2.IMREAD_UNCHANGED, path, cure)


def read_palette_png(path: str | Path, cure: str = CURE) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of a palette PNG and its colours. OpenCV would give colours alone.

    Returns:
        tuple: uint8 (H, W), and (entries, 3) R, G, B.

    Raises:
        DataError: the file is missing, damaged, or has no palette.
    """
    data, header = read_whole_png(path, cure)
    if header.colour != PALETTE:
        raise DataError(f'{path}: a palette PNG is wanted, this one {describe(header)}. {cure}')
    _decoded(data, cv2.IMREAD_UNCHANGED, path, cure)  # Pillow does not miss rows at the end
    try:
        with open_head(data) as image:
            colours = np.array(image.getpalette() or []).reshape(-1, 3)
            return np.array(image), colours
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, error, cure) from error


def describe(header: PngHeader) -> str:
    """Say in words how a PNG is encoded, to follow "this one"."""
    if header.colour == PALETTE:
        return 'has a palette'
    channels = {GREY: 1, 2: 3, 4: 2, 6: 4}[header.colour]
    return f'has {channels} of {header.bits} bits'


def _decoded(data: bytes, flags: int, path: str | Path, cure: str) -> np.ndarray:
    try:
        return decode(data, flags)
    except ValueError as error:
        raise _damaged(path, error, cure) from error


def bytes_of(path: str | Path, most: int = -1) -> bytes:
    """Return the bytes of a file, not more than ``most`` where that is given.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return read_bytes(path, most)
    except OSError as error:
        raise DataError(f'{path} {why_unreadable(path, error)}') from error


def _header(data: bytes, path: str | Path, cure: str) -> PngHeader:
    if not data.startswith(SIGNATURE):
        raise _damaged(path, 'it does not start as a PNG does', cure)
    if len(data) < _HEADER.size:
        raise _damaged(path, 'its end is missing', cure)
    _, length, name, width, height, bits, colour, *_, checksum = _HEADER.unpack_from(data)
    sound = length == 13 and name == b'IHDR' and zlib.crc32(data[12:29]) == checksum
    if not sound or 0 in (width, height) or colour not in (GREY, 2, PALETTE, 4, 6):
        raise _damaged(path, 'its header is damaged', cure)
    check_pixels(path, (height, width))
    return PngHeader(height, width, bits, colour)


def _damaged(path: str | Path, reason: Exception | str, cure: str) -> DataError:
    return DataError(f'{path} is not a whole PNG ({reason}): truncated or damaged. {cure}')
