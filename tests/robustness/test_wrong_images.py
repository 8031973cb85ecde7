"""Hundreds of wrong images of every format: a picture or one line, never a traceback."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.decoding import READS_AVIF, READS_HEIF
from mmseg_uvpt.datasets.files.image_files import (
    SUFFIXES,
    check_whole_image,
    image_size,
    images_below,
    naming,
    read_image,
)

FORMATS = {
    **{'.jpg': 'JPEG', '.png': 'PNG', '.webp': 'WEBP', '.bmp': 'BMP', '.tif': 'TIFF'},
    **{'.gif': 'GIF', '.ppm': 'PPM', '.jp2': 'JPEG2000'},
    **({'.avif': 'AVIF'} if READS_AVIF else {}),
    **({'.heic': 'HEIF'} if READS_HEIF else {}),
}
FEW, MANY = 12, 400  # of each format; all in a minute or two


def good(suffix: str, folder: Path) -> bytes:
    """Return a picture of 24 x 16."""
    y, x = np.mgrid[:16, :24]
    colours = np.dstack([9 * x, 14 * y, 5 * x + 7 * y]).clip(0, 255).astype(np.uint8)
    path = folder / f'good{suffix}'
    Image.fromarray(colours).save(path, FORMATS[suffix])
    return path.read_bytes()


def wrong(data: bytes, number: int) -> Iterator[bytes]:
    """Yield so many files that a disk, a network or somebody could have made of a good one."""
    random = np.random.default_rng(number)
    for _ in range(number):
        file = bytearray(data)
        for _ in range(random.integers(1, 4)):
            start = int(random.integers(len(file)))
            if random.random() < 0.5:
                start = min(start, int(random.integers(64)))  # heads are short, and say most
            length = int(random.integers(1, 16))
            match random.integers(6):
                case 0:
                    del file[max(1, start) :]
                case 1:
                    file[start : start + length] = bytes(length)
                case 2:
                    file[start : start + length] = b'\xff' * length
                case 3:
                    file[start : start + 1] = random.bytes(1)
                case 4:
                    file[start:start] = random.bytes(length)
                case _:
                    file += file[start:] + random.bytes(length)
        yield bytes(file)


def look_at(path: Path) -> str:
    """Read a file in every way; return what came of it."""
    outcomes = set()
    for reader in (read_image, image_size, check_whole_image):
        try:
            found = reader(path)
        except DataError as error:
            outcomes.add(str(error))
        else:
            outcomes.add(found.shape[:2] if isinstance(found, np.ndarray) else tuple(found))
    errors = {found for found in outcomes if isinstance(found, str)}
    assert all(str(path) in error and '\n' not in error for error in errors)
    sizes = outcomes - errors
    assert len(sizes) <= 1, f'readers differ: {outcomes}'
    return 'read' if sizes else 'error'


def look_at_all(suffix: str, folder: Path, number: int) -> set[str]:
    path = folder / f'wrong{suffix}'
    outcomes = set()
    for data in wrong(good(suffix, folder), number):
        path.write_bytes(data)
        outcomes.add(look_at(path))
    return outcomes


@pytest.mark.parametrize('suffix', FORMATS)
def test_some_wrong_files(tmp_path, suffix):
    assert 'error' in look_at_all(suffix, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.parametrize('suffix', FORMATS)
def test_many_wrong_files(tmp_path, suffix):
    assert 'error' in look_at_all(suffix, tmp_path, MANY)


@pytest.mark.parametrize('suffix', FORMATS)
def test_under_the_name_of_another_format(tmp_path, suffix):
    """It is read, but for what is called a PNG and is none."""
    data = good(suffix, tmp_path)
    for other in ('.PNG', '.jpg', '.TIF', '.webp', '.gif'):
        path = tmp_path / f'other{other}'
        path.write_bytes(data)
        is_png = other.lower() == '.png'
        assert look_at(path) == ('error' if is_png and suffix != '.png' else 'read')


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.tif', '.heic', '.svg'])
def test_what_is_no_file(tmp_path, suffix):
    folder, link, pipe, empty = (tmp_path / f'{name}{suffix}' for name in 'abcd')
    folder.mkdir()
    link.symlink_to('nowhere')
    os.mkfifo(pipe)
    empty.touch()
    for path in (folder, link, pipe, empty):
        assert look_at(path) == 'error'
    found, _ = images_below(tmp_path)
    assert folder not in found
    assert (link in found) == (suffix in SUFFIXES)


@pytest.mark.parametrize('size', [(1, 1), (1, 2000), (2000, 1), (2, 3)])
def test_thin_images(tmp_path, size):
    """They are read; what has to change them names them."""
    path = tmp_path / 'thin.bmp'
    Image.new('RGB', size).save(path)
    assert look_at(path) == 'read'
    said = rf'thin\.bmp is {size[0]} x {size[1]} pixels'
    with pytest.raises(DataError, match=said), naming(path):
        cv2.resize(read_image(path), (0, 0))
