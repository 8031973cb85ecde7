"""Labels from the polygons that Cityscapes and IDD ship."""

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmseg_uvpt.datasets.cityscapes_labels import BY_NAME
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.decoding import check_pixels
from mmseg_uvpt.files import open_regular, why_unreadable

_CITYSCAPES = {name: label.id for name, label in BY_NAME.items()}


def read_cityscapes_polygons(path: str | Path) -> np.ndarray:
    """Draw a ``_gtFine_polygons.json`` of Cityscapes: uint8 (H, W), label ids 0..33.

    Raises:
        DataError: see `read_polygons`.
    """
    return read_polygons(path, 'Cityscapes', _CITYSCAPES, BY_NAME['unlabeled'].id)


def read_polygons(
    path: str | Path, title: str, ids: Mapping[str, int], background: int, strict: bool = True
) -> np.ndarray:
    """Draw a ``_gtFine_polygons.json`` as the programs of its data set do.

    Later objects cover earlier ones; deleted ones and those with a negative id are left out; a
    group of objects has the label of its members.

    Args:
        path: the annotation.
        title: of the data set, for errors.
        ids: of each label by its name, below 256.
        background: id where nothing is drawn.
        strict: whether an unknown label and a polygon of fewer than three points are errors; else
            they are left out, and the label is named once.

    Returns:
        np.ndarray: uint8 (H, W), values of ``ids`` and the background.

    Raises:
        DataError: no annotation of polygons, or one with an unknown label.
    """
    size, objects = _read(path)
    picture = Image.new('L', size[::-1], background)
    draw = ImageDraw.Draw(picture)
    for name, points in objects:
        value = ids.get(name, ids.get(name.removesuffix('group')))
        if not strict and (value is None or len(points) < 3):
            if value is None:
                _tell(f'{title}: the label {name!r} is none of its table, and left out')
            continue
        if value is None:
            raise DataError(f'{path}: no {title} label is called {name!r}. Put the original there.')
        if value < 0:
            continue
        try:
            draw.polygon(points, fill=value)
        except Exception as error:  # the file steers Pillow: it may fail in any way
            raise _unusable(path, error) from error
    return np.array(picture)


@cache
def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


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
