"""What kinds of TIFF are read: 8 and 16 bits, grey, palettes, RGB, CMYK, one page."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mmseg_uvpt.datasets.files.data_error import DataError

TIFF_STARTS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')  # the last two: BigTIFF
# the numbers of TIFF's tags
_KIND_OF_PAGE, _WIDTH, _HEIGHT, _BITS, _COLOUR, _ORIENTATION = 254, 256, 257, 258, 262, 274
_CHANNELS, _EXTRA, _NUMBERS = 277, 338, 339
_WORDS = {2: 'signed numbers', 3: 'floats', 5: 'complex numbers', 6: 'complex numbers'}
# by how colours are stored: how many channels, of how many bits
_BILEVEL_OR_GREY, _RGB, _PALETTE, _CMYK, _YCBCR = (0, 1), 2, 3, 5, 6
_READ = {
    **dict.fromkeys(_BILEVEL_OR_GREY, ((1, 2), (1, 2, 4, 8, 16))),
    _RGB: ((3, 4), (8, 16)),
    _PALETTE: ((1,), (1, 2, 4, 8)),
    _CMYK: ((4,), (8,)),
    _YCBCR: ((3,), (8,)),
}
_PAGES = 1000  # as many are looked at
_STRAIGHT_ALPHA = 2


def check_tiff(data: bytes, path: str | Path) -> tuple[tuple[int, int], bool]:
    """Make sure that a TIFF is of a kind that is read as it is meant.

    Args:
        data: contents of the file.
        path: its name, for the error.

    Returns:
        tuple: (height, width) of the upright image, and whether its colours were not multiplied
        by its alpha channel. (OpenCV multiplies them: what is transparent turns dark.)

    Raises:
        DataError: it holds floats, another number of channels, several pages, ...
        ValueError: it is damaged.
    """
    try:
        with warnings.catch_warnings():  # of odd tags
            warnings.simplefilter('ignore')
            pages = list(_pages(data))
        first = pages[0]
        size = first[_HEIGHT], first[_WIDTH]
    except Exception as error:  # the bytes steer the reader: it may fail in any way
        raise ValueError('its description is damaged') from error
    channels = first.get(_CHANNELS, 1)
    bits = first.get(_BITS, (1,))
    numbers = {_WORDS.get(kind) for kind in first.get(_NUMBERS, (1,))} - {None}
    if numbers:
        raise _refused(path, f'of {max(bits)}-bit {numbers.pop()}')
    wanted_channels, wanted_bits = _READ.get(first.get(_COLOUR), ((), ()))
    if channels not in wanted_channels or len({*bits, *wanted_bits}) > len(wanted_bits):
        raise _refused(
            path,
            f'of {channels} channel{"s"[: channels > 1]} of {"/".join(map(str, {*bits}))} '
            f'bits ({_colours(first.get(_COLOUR))})',
        )
    further = sum(not page.get(_KIND_OF_PAGE, 0) & 0b101 for page in pages[1:])
    if further:  # what is a smaller copy or a mask of the first says so
        raise _refused(path, f'of {further + 1} pages', 'the one that is meant alone')
    turned = first.get(_ORIENTATION) in (5, 6, 7, 8)
    return size[::-1] if turned else size, _STRAIGHT_ALPHA in first.get(_EXTRA, ())


def _pages(data: bytes) -> Iterator[ImageFileDirectory_v2]:
    head = data[:16] if data.startswith(TIFF_STARTS[2:]) else data[:8]
    tags = ImageFileDirectory_v2(head)
    file = io.BytesIO(data)
    seen: set[int] = set()
    place = tags.next
    while place and place not in seen and len(seen) < _PAGES:
        seen.add(place)
        file.seek(place)
        tags = ImageFileDirectory_v2(head)
        tags.load(file)
        yield tags
        place = tags.next


def _colours(kind: int | None) -> str:
    names = {0: 'grey', 1: 'grey', 2: 'RGB', 3: 'palette', 5: 'CMYK', 6: 'YCbCr', 8: 'CIELab'}
    return names.get(kind, f'colours of kind {kind}')


def _refused(path: str | Path, what: str, cure: str = 'it as 8-bit RGB') -> DataError:
    return DataError(f'{path}: a TIFF {what} is not read here: save {cure}')
