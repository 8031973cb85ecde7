"""Frames as a whole: labels, polygons, classes, and what tells the looks apart."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import name2label
from PIL import Image, ImageDraw

from mmseg_uvpt.minicity import CITYSCAPES, GTA, SYNTHIA, render
from mmseg_uvpt.minicity.looks import FOG, NIGHT_CITY

TRAIN_LABELS = {label.name for label in name2label.values() if 0 <= label.trainId < 19}
SKY = name2label['sky'].id
HAZE_LESS = replace(GTA, haze=(0.0, 0.0), texture=0.0)


def shares(frames):
    """Pixel share of each label and share of frames with it."""
    ids = np.stack([label_ids for _, label_ids, _ in frames])
    counts = {name: ids == name2label[name].id for name in TRAIN_LABELS}
    return (
        {name: mask.mean() for name, mask in counts.items()},
        {name: mask.any(axis=(1, 2)).mean() for name, mask in counts.items()},
    )


@pytest.fixture(scope='module')
def twenty():
    """The same twenty streets in the rendered and in the photographic look."""
    return [[render(3, index, look) for index in range(20)] for look in (GTA, CITYSCAPES)]


def test_frame_format(game):
    image, label_ids, polygons = game[0]
    assert image.shape == (256, 512, 3)
    assert image.dtype == np.uint8
    assert label_ids.shape == (256, 512)
    assert label_ids.dtype == np.uint8
    assert (label_ids > 0).all(), 'no pixel is without a label'
    assert all(name in name2label for name, _ in polygons)


def test_a_frame_depends_on_nothing_but_seed_and_index(game):
    again = render(3, 7, GTA)
    for one, other in zip(game[7][:2], again[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    other_index, other_seed = render(3, 8, GTA), render(4, 7, GTA)
    assert (again[1] != other_index[1]).mean() > 0.1
    assert (again[1] != other_seed[1]).mean() > 0.1


@pytest.mark.slow
def test_all_classes_occur_and_the_great_ones_dominate(twenty):
    pixels, frames = shares(twenty[0] + twenty[1])
    assert min(frames.values()) >= 0.1, f'rarely seen: {min(frames, key=frames.get)}'
    great = ('road', 'building', 'vegetation', 'car', 'sky', 'sidewalk')
    assert sum(pixels[name] for name in great) > 0.75
    assert 0.25 < pixels['road'] < 0.45
    assert 0.15 < pixels['building'] < 0.35
    for name in ('pole', 'person', 'traffic sign'):
        assert frames[name] > 0.8


def test_synthia_lacks_what_synthia_lacks():
    frames = [render(3, index, SYNTHIA) for index in range(4)]
    pixels, _ = shares(frames)
    assert {name for name in TRAIN_LABELS if pixels[name] == 0} >= {'terrain', 'truck', 'train'}


def test_polygons_give_the_labels_back(photo):
    """Drawn by Pillow in painter's order, as cityscapesscripts does it."""
    for _, label_ids, polygons in photo:
        drawn = Image.new('L', (512, 256), 0)
        for name, polygon in polygons:
            corners = [tuple(map(int, corner)) for corner in polygon]
            pen = ImageDraw.Draw(drawn)
            if len(corners) < 3:
                pen.line(corners * 2, fill=name2label[name].id)
            else:
                pen.polygon(corners, fill=name2label[name].id)
        assert (np.asarray(drawn) == label_ids).mean() > 0.98


def test_labels_lie_on_what_they_name(game):
    """In the rendered look materials have known hues; the median pixel of a label shows them."""
    colours = {}
    for name in ('sky', 'vegetation', 'terrain', 'road'):
        of_label = [image[ids == name2label[name].id] for image, ids, _ in game]
        colours[name] = np.median(np.concatenate(of_label), axis=0)
    for name in ('vegetation', 'terrain'):
        red, green, blue = colours[name]
        assert green > red + 20
        assert green > blue + 30
    red, green, blue = colours['sky']
    assert blue > green > red
    assert np.ptp(colours['road']) < 25


def test_edges_of_sky_in_image_and_label_agree():
    """Independent of the painter: split blue from the rest by colour, compare with the label."""
    image, label_ids, _ = render(3, 1, HAZE_LESS)
    top = slice(0, 100)
    hue = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[top].astype(int)
    sky = label_ids[top] == name2label['sky'].id
    assert 0.02 < sky.mean() < 0.9
    inside = cv2.erode(sky.astype(np.uint8), np.ones((3, 3))).astype(bool)
    assert (hue[..., 2][inside] > 200).mean() > 0.95


def test_a_known_box_is_where_the_pinhole_puts_it():
    from mmseg_uvpt.minicity.camera import Camera, Street
    from mmseg_uvpt.minicity.canvas import Canvas
    from mmseg_uvpt.minicity.scene import Item
    from mmseg_uvpt.minicity.stage import Stage
    from mmseg_uvpt.minicity.vehicles import draw_bus

    camera = Camera(width=512, height=256, focal=400.0, horizon=110.0, eye=1.5)
    stage = Stage(
        Canvas(256, 512), camera, Street(0, 0, 0), GTA, np.array([0.0, 1.0, 0.0]), 0.3, livery=0
    )
    draw_bus(stage, Item('bus', u=0.0, z=20.0, seed=1))
    rows, columns = np.nonzero(stage.canvas.label_ids == name2label['bus'].id)
    # The back is 2.5 m wide, 3.1 m high and 20 - 5.5 m away; the tyres stand on the ground.
    scale = 400 / 14.5
    assert columns.min() == pytest.approx(256 - 1.25 * scale, abs=1.5)
    assert columns.max() == pytest.approx(256 + 1.25 * scale, abs=1.5)
    assert rows.min() == pytest.approx(110 - 1.6 * scale, abs=1.5)
    assert rows.max() == pytest.approx(110 + 1.5 * 400 / 16.1, abs=2.5)


@pytest.mark.slow
def test_looks_differ_by_measure(twenty):
    game, photo = twenty

    def saturation(frames):
        return np.mean([cv2.cvtColor(f[0], cv2.COLOR_RGB2HSV)[..., 1].mean() for f in frames])

    def roughness(frames):
        """Mean absolute Laplacian inside the road, where the rendered look is flat."""
        values = []
        for image, ids, _ in frames:
            road = cv2.erode((ids == name2label['road'].id).astype(np.uint8), np.ones((5, 5)))
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
            values.append(np.median(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[road > 0]))
        return np.mean(values)

    assert saturation(game) > 1.2 * saturation(photo)
    assert roughness(photo) > 2 * roughness(game)
    brightness = [[frame[0].mean() for frame in frames] for frames in (game, photo)]
    assert np.std(brightness[1]) > 1.5 * np.std(brightness[0]), 'exposure varies in photographs'


@pytest.mark.slow
def test_each_strength_is_a_number_of_the_look():
    """Turning one knob changes the image and leaves the labels alone."""
    plain = replace(CITYSCAPES, cast_jitter=0.0, jpeg=None, noise=(0, 0), blur=(0, 0))
    image, label_ids, _ = render(3, 2, plain)
    for change in (
        {'haze': (0.02, 0.02)},
        {'exposure': (0.4, 0.4)},
        {'noise': (0.05, 0.05)},
        {'blur': (1.5, 1.5)},
        {'texture': 2.0},
        {'vignetting': (0.9, 0.9)},
        {'saturation': (0.0, 0.0)},
    ):
        other, other_ids, _ = render(3, 2, replace(plain, **change))
        np.testing.assert_array_equal(label_ids, other_ids)
        assert np.abs(image.astype(int) - other).mean() > 1.0, change
    assert np.ptp(render(3, 2, replace(plain, saturation=(0, 0)))[0], axis=-1).max() <= 1


@pytest.mark.parametrize('look', [NIGHT_CITY, FOG], ids=['night', 'fog'])
def test_other_targets_show_the_same_streets(look, photo):
    image, label_ids, _ = render(3, 1, look)
    np.testing.assert_array_equal(image, render(3, 1, look)[0])
    np.testing.assert_array_equal(label_ids, photo[1][1])
    assert np.abs(image.astype(int) - photo[1][0]).mean() > 15


def test_night_is_dark_but_for_its_lights(photo):
    night = np.stack([render(3, index, NIGHT_CITY)[0] for index in range(4)])
    assert np.median(night) < 0.6 * np.median([image for image, *_ in photo])
    assert (night.max(-1) > 220).mean() > 0.005
    unlit = render(3, 2, replace(NIGHT_CITY, headlights=0.0))[0]
    ahead = slice(170, 240), slice(200, 312)
    assert night[2][ahead].mean() > 1.2 * unlit[ahead].mean()


def test_in_fog_the_sky_is_as_grey_as_the_fog(photo):
    sky = np.concatenate([render(3, i, FOG)[0][photo[i][1] == SKY] for i in range(4)])
    clear = np.concatenate([image[ids == SKY] for image, ids, _ in photo])
    assert np.ptp(sky.mean(0)) < 20 < np.ptp(clear.mean(0))


def test_the_default_target_is_what_records_were_made_on(photo):
    """Means of 4 x 4 blocks: builds of OpenCV may round otherwise, nothing else may differ."""
    expected = [
        [117.6, 154.0, 73.9, 98.8],
        [100.2, 131.7, 93.1, 95.6],
        [90.1, 96.5, 89.2, 88.2],
        [92.3, 86.8, 85.9, 112.8],
    ]
    found = photo[0][0].reshape(4, 64, 4, 128, 3).mean((1, 3, 4))
    np.testing.assert_allclose(found, expected, atol=0.2)
