"""Photographs as cameras, phones and programs write them: read right, or one clear sentence."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mmseg_uvpt.datasets.files import decoding, image_files
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.image_files import (
    check_whole_image,
    image_size,
    images_below,
    read_image,
)
from mmseg_uvpt.engine.inference.sources import picture

FORMATS = ('jpg', 'webp', 'tif', 'bmp', 'gif', 'ppm', 'jp2', 'png', 'avif')
TURNED = ('jpg', 'webp', 'tif', 'avif')
ORIENTATION = 0x0112


def pixels(height=40, width=60):
    """Return smooth colours, uint8 (H, W, 3), R, G, B."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([4 * x, 6 * y, 2 * x + 3 * y]).clip(0, 255).astype(np.uint8)


def write(path, image=None, **options):
    if path.suffix == '.avif':
        if not decoding.READS_AVIF:
            pytest.skip('this Pillow reads no AVIF')
        options |= {'quality': 100, 'subsampling': '4:4:4'}
    if path.suffix == '.webp':
        options |= {'lossless': True}
    if path.suffix == '.jpg':
        options |= {'quality': 100, 'subsampling': 0}
    (image or Image.fromarray(pixels())).save(path, **options)
    return path


def rgb(path):
    return read_image(path)[..., ::-1].astype(int)


@pytest.mark.parametrize('suffix', FORMATS)
def test_every_format_has_its_pixels(tmp_path, suffix):
    path = write(tmp_path / f'a.{suffix}')
    expected = pixels()
    if suffix == 'gif':
        expected = np.array(Image.open(path).convert('RGB'))
    assert np.abs(rgb(path) - expected).max() <= (6 if suffix in ('jpg', 'avif') else 0)
    assert image_size(path) == check_whole_image(path) == (40, 60)
    assert images_below(tmp_path) == ([path], '')


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', TURNED)
def test_every_reader_turns_an_image_alike(tmp_path, suffix, orientation):
    note = Image.Exif()
    note[ORIENTATION] = orientation
    how = {'tiffinfo': {ORIENTATION: orientation}} if suffix == 'tif' else {'exif': note.tobytes()}
    path = write(tmp_path / f'a.{suffix}', **how)
    upright = Image.fromarray(pixels())
    upright.getexif()[ORIENTATION] = orientation
    expected = np.array(ImageOps.exif_transpose(upright))
    assert image_size(path) == read_image(path).shape[:2] == expected.shape[:2]
    assert np.abs(rgb(path) - expected).max() <= 6


def test_a_png_is_not_turned(tmp_path):
    """Its label lies on the pixels as they are stored; of all who look at it."""
    note = Image.Exif()
    note[ORIENTATION] = 6
    path = write(tmp_path / 'a.png', exif=note.tobytes())
    other = tmp_path / 'b.jpg'
    other.write_bytes(path.read_bytes())
    for file in (path, other):
        assert image_size(file) == check_whole_image(file) == (40, 60)
        np.testing.assert_array_equal(rgb(file), pixels())
    given = picture(Image.open(path)).pixels[..., ::-1]
    np.testing.assert_array_equal(given, pixels())


@pytest.mark.parametrize('suffix', FORMATS)
@pytest.mark.parametrize('part', [0.05, 0.3, 0.6, 0.95])
def test_halves_are_refused(tmp_path, suffix, part):
    path = write(tmp_path / f'a.{suffix}')
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(DataError, match=rf'a\.{suffix} '):
        read_image(path)
    with pytest.raises(DataError, match=rf'a\.{suffix} '):
        check_whole_image(path)


CLIP = b'\0\0\0\x1cftypmp42' + np.random.default_rng(0).bytes(20_000) + b'\xff\xda' + bytes(64)


@pytest.mark.parametrize('behind', [CLIP, b'PK\3\4' + bytes(99), b'\0' * 99, b'\xff\xd9', b'SEFT'])
@pytest.mark.parametrize('progressive', [False, True])
def test_jpeg_with_data_behind_it(tmp_path, behind, progressive):
    whole = write(tmp_path / 'a.jpg', progressive=progressive)
    path = tmp_path / 'b.jpg'
    path.write_bytes(whole.read_bytes() + behind)
    np.testing.assert_array_equal(read_image(path), read_image(whole))


@pytest.mark.parametrize('behind', [CLIP + b'\xff\xd9', b'\xff\xd9', b'\xff\xd9' + CLIP])
@pytest.mark.parametrize('part', [0.3, 0.5, 0.9])
def test_half_a_jpeg_with_data_behind_it(tmp_path, behind, part):
    path = write(tmp_path / 'a.jpg', Image.fromarray(np.vstack([pixels()] * 8)))
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)] + behind)
    with pytest.raises(DataError, match=r'a\.jpg cannot be read as an image'):
        read_image(path)


def test_whole_jpeg_that_is_grey_at_its_end(tmp_path):
    grey = np.full((32, 32, 3), 128, np.uint8)
    assert (read_image(write(tmp_path / 'a.jpg', Image.fromarray(grey))) == 128).all()


@pytest.mark.parametrize('mode', ['L', 'CMYK', 'RGB'])
def test_kinds_of_jpeg(tmp_path, mode):
    image = Image.fromarray(pixels()).convert(mode)
    path = write(tmp_path / 'a.jpg', image)
    assert np.abs(rgb(path) - np.array(Image.open(path).convert('RGB'))).max() <= 3


def tiff(array, colour, numbers=1, extra=(), pages=1):
    """Return an uncompressed TIFF byte by byte, of (H, W) or (H, W, channels)."""
    height, width = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    data = array.tobytes()
    bits = [8 * array.itemsize] * channels
    tags = [(256, [width]), (257, [height]), (258, bits), (259, [1]), (262, [colour])]
    tags += [(273, [8]), (277, [channels]), (278, [height]), (279, [len(data)])]
    tags += [(338, list(extra))] * bool(extra) + [(339, [numbers] * channels)]
    file, link = bytearray(b'II*\0\0\0\0\0') + data, 4
    for _ in range(pages):
        packed = []
        for tag, values in tags:
            kind, code = (4, 'I') if tag in (273, 279) else (3, 'H')
            raw = struct.pack(f'<{len(values)}{code}', *values)
            if len(raw) > 4:
                raw, place = struct.pack('<I', len(file)), raw
                file += place
            packed.append(struct.pack('<HHI', tag, kind, len(values)) + raw.ljust(4, b'\0'))
        file[link : link + 4] = struct.pack('<I', len(file))
        file += struct.pack('<H', len(tags)) + b''.join(packed)
        link = len(file)
        file += bytes(4)
    return bytes(file)


RGB = pixels()
GREY = RGB[..., 0]
SPREAD = np.dstack([GREY] * 3)
WIDE = RGB.astype(np.uint16) * 257
READ = {
    'grey': (tiff(GREY, 1), SPREAD),
    'white is zero': (tiff(255 - GREY, 0), SPREAD),
    '16-bit grey': (tiff(WIDE[..., 0], 1), SPREAD),
    'grey and alpha': (tiff(np.dstack([GREY, GREY]), 1, extra=(2,)), SPREAD),
    'RGB': (tiff(RGB, 2), RGB),
    '16-bit RGB': (tiff(WIDE, 2), RGB),
    'RGB and alpha': (tiff(np.dstack([RGB, GREY]), 2, extra=(2,)), RGB),
    'RGB and infrared': (tiff(np.dstack([RGB, GREY]), 2, extra=(0,)), RGB),
}
REFUSED = {
    'of 32-bit floats': tiff(RGB.astype(np.float32), 2, numbers=3),
    'of 64-bit floats': tiff(GREY.astype(np.float64), 1, numbers=3),
    'of 16-bit signed numbers': tiff(GREY.astype(np.int16), 1, numbers=2),
    'of 64-bit complex numbers': tiff(GREY.astype(np.complex64), 1, numbers=6),
    'of 1 channel of 32 bits (grey)': tiff(GREY.astype(np.uint32), 1),
    'of 5 channels of 8 bits (RGB)': tiff(np.dstack([RGB, GREY, GREY]), 2, extra=(0, 0)),
    'of 3 channels of 8 bits (grey)': tiff(RGB, 1, extra=(0, 0)),
    'of 3 channels of 8 bits (CIELab)': tiff(RGB, 8),
    'of 4 channels of 16 bits (CMYK)': tiff(np.dstack([WIDE, WIDE[..., 0]]), 5),
    'of 2 pages': tiff(RGB, 2, pages=2),
}


@pytest.mark.parametrize('kind', READ)
def test_kinds_of_tiff(tmp_path, kind):
    data, expected = READ[kind]
    (tmp_path / 'a.tif').write_bytes(data)
    np.testing.assert_array_equal(rgb(tmp_path / 'a.tif'), expected)
    assert image_size(tmp_path / 'a.tif') == (40, 60)


@pytest.mark.parametrize('kind', REFUSED)
def test_kinds_of_tiff_that_are_refused(tmp_path, kind, capfd):
    (tmp_path / 'a.tif').write_bytes(REFUSED[kind])
    for reader in (read_image, image_size, check_whole_image):
        with pytest.raises(DataError) as error:
            reader(tmp_path / 'a.tif')
        assert f'a.tif: a TIFF {kind} is not read here: save ' in str(error.value)
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('mode', ['1', 'P', 'CMYK', 'YCbCr'])
def test_kinds_of_tiff_that_pillow_writes(tmp_path, mode):
    image = Image.fromarray(RGB).convert(mode)
    path = write(tmp_path / 'a.tif', image)
    assert np.abs(rgb(path) - np.array(image.convert('RGB'))).max() <= 1


@pytest.mark.parametrize('suffix', ['gif', 'webp'])
def test_animations_are_refused(tmp_path, suffix):
    more = {'save_all': True, 'append_images': [Image.fromarray(RGB[::-1].copy())]}
    path = write(tmp_path / f'a.{suffix}', **more)
    with pytest.raises(DataError, match='is an animation of 2 images'):
        read_image(path)


def test_what_needs_a_library_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, 'FORMATS', ('PNG', 'JPEG'))
    for brand, cure in ((b'heic', 'pip install pillow-heif'), (b'avif', 'pip install -U pillow')):
        path = tmp_path / 'IMG_1.HEIC'
        path.write_bytes(b'\0\0\0\x1cftyp' + brand + bytes(64))
        with pytest.raises(DataError, match=rf'IMG_1\.HEIC cannot be read: .*{cure}'):
            read_image(path)
    assert 'pip install pillow-heif' in image_files.left_out('p', ['a.heic'])


def test_heic_where_the_library_is(tmp_path):
    pytest.importorskip('pillow_heif')
    note = Image.Exif()
    note[ORIENTATION] = 6
    path = tmp_path / 'a.HEIC'
    Image.fromarray(RGB).save(path, 'HEIF', exif=note.tobytes(), quality=100)
    assert image_size(path) == read_image(path).shape[:2] == (60, 40)
    assert images_below(tmp_path) == ([path], '')


def test_jpeg_with_a_thumbnail(tmp_path):
    """A jpeg's own thumbnail has an end of its own, which does not count."""
    small = io.BytesIO()
    Image.fromarray(RGB[:8, :8].copy()).save(small, 'JPEG')
    data = write(tmp_path / 'a.jpg').read_bytes()
    segment = b'\xff\xe5' + struct.pack('>H', len(small.getvalue()) + 2) + small.getvalue()
    (tmp_path / 'b.jpg').write_bytes(data[:2] + segment + data[2:])
    np.testing.assert_array_equal(read_image(tmp_path / 'b.jpg'), read_image(tmp_path / 'a.jpg'))
    (tmp_path / 'c.jpg').write_bytes(data[:2] + segment + data[2:-200])
    with pytest.raises(DataError, match='its end is missing'):
        read_image(tmp_path / 'c.jpg')


@pytest.mark.parametrize('white', [100, 4095])
def test_a_pgm_of_another_depth_is_refused(tmp_path, white):
    """OpenCV reads it too dark."""
    pixels = np.full((4, 6), white, '>u2' if white > 255 else np.uint8)
    path = tmp_path / 'a.pgm'
    path.write_bytes(b'P5\n# of a camera\n6 4\n%d\n' % white + pixels.tobytes())
    with pytest.raises(DataError, match=f'a.pgm has values up to {white}: save it as 8-bit RGB'):
        read_image(path)
    path.write_bytes(b'P5\n6 4\n255\n' + bytes(24))
    assert read_image(path).shape == (4, 6, 3)


@pytest.mark.parametrize('bits', [8, 10, 12, 14])
@pytest.mark.parametrize('suffix', ['png', 'tif', 'pgm'])
def test_values_of_cameras_in_16_bits_are_refused(tmp_path, suffix, bits):
    """Read as 8-bit they would be nearly black, and a model would find nothing in them."""
    most = 2**bits - 1
    stored = np.linspace(0, most, 24).astype(np.uint16).reshape(4, 6)
    path = tmp_path / f'a.{suffix}'
    cv2.imwrite(str(path), stored)
    words = f'a.{suffix} has 16 bits a value, of which it uses {bits} .* {most} of 65535'
    with pytest.raises(DataError, match=words):
        read_image(path)
    cv2.imwrite(str(path), stored << (16 - bits))
    assert read_image(path).max() == 255


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_an_image_that_is_black_is_read(tmp_path, dtype):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((4, 6, 3), dtype))
    assert (read_image(tmp_path / 'a.png') == 0).all()
