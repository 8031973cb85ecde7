"""The size of an image without its pixels."""

import numpy as np
import pytest
from PIL import Image

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.image_files import image_size, read_image

UPRIGHT, LYING = 1, 6  # EXIF's numbers


def write(path, note=None, **kwargs):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    if note is not None:
        kwargs['exif'] = note
    Image.fromarray(pixels).save(path, **kwargs)
    return path


def exif(orientation):
    note = Image.Exif()
    note[0x0112] = orientation
    return note.tobytes()


@pytest.mark.parametrize(
    ('note', 'expected'),
    [
        (None, (20, 30)),
        (exif(UPRIGHT), (20, 30)),
        (exif(LYING), (30, 20)),
        (b'Exif\0\0II*\0\xff\xff\xff\xff', (20, 30)),
        (b'Exif\0\0nonsense', (20, 30)),
    ],
    ids=['none', 'upright', 'lying', 'cut short', 'nonsense'],
)
def test_it_is_the_size_that_reading_gives(tmp_path, note, expected):
    path = write(tmp_path / 'photo.jpg', note)
    assert image_size(path) == read_image(path).shape[:2] == expected


@pytest.mark.parametrize('name', ['photo.png', 'photo.webp', 'photo.bmp', 'photo.tif'])
def test_other_formats(tmp_path, name):
    path = write(tmp_path / name)
    assert image_size(path) == read_image(path).shape[:2] == (20, 30)


def test_a_png_under_another_name(tmp_path):
    path = write(tmp_path / 'photo.jpg', format='PNG')
    assert image_size(path) == read_image(path).shape[:2] == (20, 30)


def test_what_is_no_image(tmp_path):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(b'text')
    with pytest.raises(DataError, match=r'photo\.jpg cannot be read as an image'):
        image_size(path)
