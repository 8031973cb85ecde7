"""The raw formats, read back by other means than they were written with."""

import json
import struct
import zlib

import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from PIL import Image

from mmseg_uvpt.datasets.label_encodings import (
    CITYSCAPES_TO_TRAIN_ID,
    SYNTHIA_TO_TRAIN_ID,
    read_cityscapes_label,
    read_gta_label,
    read_synthia_label,
)
from mmseg_uvpt.minicity import CITYSCAPES, GTA, SYNTHIA, render
from mmseg_uvpt.minicity.writing import WRITERS, polygon_path

LOOKS = {'gta': GTA, 'synthia': SYNTHIA, 'cityscapes': CITYSCAPES}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """One frame of each data set: frame, image path, label path."""
    folder = tmp_path_factory.mktemp('frames')
    frames = {}
    for name, look in LOOKS.items():
        frame = render(5, 4, look)
        paths = folder / f'{name}.png', folder / f'{name}_gtFine_labelIds.png'
        WRITERS[name](*paths, frame)
        frames[name] = frame, *paths
    return frames


def chunks(data):
    """Yield (type, content) of a PNG's chunks, by the book."""
    place = 8
    while place < len(data):
        (length,) = struct.unpack('>I', data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


@pytest.mark.parametrize('name', LOOKS)
def test_images(written, name):
    frame, image, _ = written[name]
    np.testing.assert_array_equal(np.asarray(Image.open(image)), frame[0])


def test_gta_label(written):
    (_, label_ids, _), _, path = written['gta']
    picture = Image.open(path)
    assert picture.mode == 'P'
    np.testing.assert_array_equal(np.asarray(picture), label_ids)
    palette = dict(chunks(path.read_bytes()))[b'PLTE']
    assert len(palette) == 35 * 3
    assert palette[7 * 3 : 8 * 3] == bytes((128, 64, 128))  # road
    assert palette[26 * 3 : 27 * 3] == bytes((0, 0, 142))  # car
    np.testing.assert_array_equal(read_gta_label(path), label_ids)


def test_synthia_label(written):
    (_, label_ids, _), _, path = written['synthia']
    parts = list(chunks(path.read_bytes()))
    width, height, depth, kind = struct.unpack('>IIBB', parts[0][1][:10])
    assert (width, height, depth, kind) == (512, 256, 16, 2)  # 16-bit RGB
    assert zlib.decompress(b''.join(content for name, content in parts if name == b'IDAT'))
    blue, instance, classes = np.moveaxis(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), -1, 0)
    assert not blue.any()
    assert (classes[label_ids == 7] == 3).all()  # road
    assert (classes[label_ids == 23] == 1).all()  # sky
    assert (classes[label_ids == 26] == 8).all()  # car
    assert (instance[label_ids == 7] == 0).all()
    assert len(np.unique(instance[label_ids == 26])) > 1
    np.testing.assert_array_equal(
        SYNTHIA_TO_TRAIN_ID[read_synthia_label(path)], CITYSCAPES_TO_TRAIN_ID[label_ids]
    )


def test_cityscapes_label_and_polygons(written):
    (_, label_ids, polygons), _, path = written['cityscapes']
    np.testing.assert_array_equal(np.asarray(Image.open(path)), label_ids)
    np.testing.assert_array_equal(read_cityscapes_label(path), label_ids)
    content = json.loads(polygon_path(path).read_text())
    assert (content['imgHeight'], content['imgWidth']) == (256, 512)
    assert len(content['objects']) == len(polygons)
    assert min(len(entry['polygon']) for entry in content['objects']) >= 3
    annotation = Annotation()
    annotation.fromJsonFile(str(polygon_path(path)))
    drawn = np.asarray(createLabelImage(annotation, 'ids'))
    assert (drawn == label_ids).mean() > 0.98
