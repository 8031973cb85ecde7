"""Frames in the raw formats of the three data sets, as their converters expect them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmseg_uvpt.datasets.cityscapes_labels import BY_ID, BY_NAME
from mmseg_uvpt.files import write_json, write_png, write_whole

Polygons = list[tuple[str, np.ndarray]]
Frame = tuple[np.ndarray, np.ndarray, Polygons]

SYNTHIA_IDS = {
    'sky': 1,
    'building': 2,
    'road': 3,
    'sidewalk': 4,
    'fence': 5,
    'vegetation': 6,
    'pole': 7,
    'car': 8,
    'traffic sign': 9,
    'person': 10,
    'bicycle': 11,
    'motorcycle': 12,
    'traffic light': 15,
    'rider': 17,
    'bus': 19,
    'wall': 21,
}
_GTA_ENTRIES = 35  # ids 0..33 and one more, the licence plate


def write_gta(image_path: Path, label_path: Path, frame: Frame) -> None:
    """Write a PNG image and a palette PNG whose indices are Cityscapes label ids."""
    image, label_ids, _ = frame
    palette = [BY_ID[k].colour for k in range(_GTA_ENTRIES - 1)] + [BY_ID[-1].colour]
    picture = Image.fromarray(label_ids).convert('L')
    picture.putpalette([channel for colour in palette for channel in colour])
    with write_whole(label_path) as file:
        picture.save(file, format='PNG')
    write_png(image_path, image)


def write_synthia(image_path: Path, label_path: Path, frame: Frame) -> None:
    """Write a PNG image and a 16-bit RGB PNG: class, instance, nothing."""
    image, label_ids, polygons = frame
    table = np.zeros(256, np.uint16)
    for name, number in SYNTHIA_IDS.items():
        table[BY_NAME[name].id] = number
    instances = np.zeros(label_ids.shape, np.uint16)
    for number, (name, polygon) in enumerate(polygons, 1):
        kept = number if BY_NAME[name].has_instances else 0
        cv2.fillPoly(instances, [polygon], kept)
    label = np.stack([table[label_ids], instances, np.zeros_like(instances)], axis=-1)
    write_png(label_path, label)
    write_png(image_path, image)


def write_cityscapes(image_path: Path, label_path: Path, frame: Frame) -> None:
    """Write a PNG image, the label ids, and the polygons that they were drawn from."""
    image, label_ids, polygons = frame
    height, width = label_ids.shape
    objects = [{'label': name, 'polygon': _closed(polygon).tolist()} for name, polygon in polygons]
    write_json(
        polygon_path(label_path), {'imgHeight': height, 'imgWidth': width, 'objects': objects}
    )
    write_png(label_path, label_ids)
    write_png(image_path, image)


WRITERS: dict[str, Callable[[Path, Path, Frame], None]] = {
    'gta': write_gta,
    'synthia': write_synthia,
    'cityscapes': write_cityscapes,
}


def polygon_path(label_path: Path) -> Path:
    """Return the polygon file beside a ``*_labelIds.png``."""
    return label_path.with_name(label_path.name.replace('_labelIds.png', '_polygons.json'))


def _closed(polygon: np.ndarray) -> np.ndarray:
    """Return a polygon of at least three corners; specks of one or two pixels repeat one."""
    missing = max(0, 3 - len(polygon))
    return np.concatenate([polygon, polygon[-1:].repeat(missing, axis=0)])
