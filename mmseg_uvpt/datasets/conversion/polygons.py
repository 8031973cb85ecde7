"""Cityscapes labels from their polygons, for downloads that hold no ``labelIds``."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmseg_uvpt.datasets.cityscapes_labels import BY_NAME
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.decoding import check_pixels
from mmseg_uvpt.files import open_regular, why_unreadable


def read_cityscapes_polygons(path: str | Path) -> np.ndarray:
    """Draw a ``_gtFine_polygons.json`` as the data set's own program does.

    Later objects cover earlier ones; deleted ones and those without an id are left out; a group of
    objects has the label of its members.

    Args:
        path: the annotation.

    Returns:
        np.ndarray: uint8 (H, W), label ids 0..33.

    Raises:
        DataError: no annotation of polygons, or one with an unknown label.
    """
    size, objects = _read(path)
    picture = Image.new('L', size[::-1], BY_NAME['unlabeled'].id)
    draw = ImageDraw.Draw(picture)
    for name, points in objects:
        label = BY_NAME.get(name) or BY_NAME.get(name.removesuffix('group'))
        if label is None:
            raise DataError(
                f'{path}: no Cityscapes label is called {name!r}. Put the original there.'
            )
        if label.id < 0:
            continue
        try:
            draw.polygon(points, fill=label.id)
        except Exception as error:  # the file steers Pillow: it may fail in any way
            raise _unusable(path, error) from error
    return np.array(picture)


def polygons_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of the annotated image.

    Raises:
        DataError: no annotation of polygons.
    """
    return _read(path)[0]


def _read(path: str | Path) -> tuple[tuple[int, int], list[tuple[str, list[tuple]]]]:
    """Return (height, width), and label and points of each object that is not deleted."""
    try:
        with open_regular(path) as file:
            annotation = json.load(file)
        size = annotation['imgHeight'], annotation['imgWidth']
        if not all(type(side) is int and side > 0 for side in size):
            raise ValueError(f'{size} is no height and width')
        objects = [
            (item['label'], [(x, y) for x, y in item['polygon']])
            for item in annotation['objects']
            if not item.get('deleted')
        ]
        if not all(isinstance(name, str) for name, _ in objects):
            raise ValueError('a label is no text')
    except OSError as error:
        raise DataError(f'{path} {why_unreadable(path, error)}') from error
    except Exception as error:  # whatever is there in place of an annotation
        raise _unusable(path, error) from error
    check_pixels(path, size)
    return size, objects


def _unusable(path: str | Path, error: Exception) -> DataError:
    return DataError(
        f'{path} is not an annotation of polygons ({type(error).__name__}: {error}): truncated or '
        'another kind of file. Put it there again from where it came from.'
    )
