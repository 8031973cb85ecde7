"""Cityscapes labels from their polygons, for downloads that hold no ``labelIds``."""

from pathlib import Path

import numpy as np

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.decoding import check_pixels
from mmseg_uvpt.files import open_regular, why_unreadable


def read_cityscapes_polygons(path: str | Path) -> np.ndarray:
    """Draw a ``_gtFine_polygons.json`` with the data set's own program.

    Args:
        path: the annotation.

    Returns:
        np.ndarray: uint8 (H, W), label ids 0..33.

    Raises:
        DataError: no annotation of polygons, or one with an unknown label. (cityscapesscripts
            ends the process there, which is why labels are looked up beforehand.) Or
            cityscapesscripts is not installed.
    """
    annotation = _read(path)
    from cityscapesscripts.helpers.labels import name2label
    from cityscapesscripts.preparation.json2labelImg import createLabelImage

    for item in annotation.objects:
        if item.label not in name2label and item.label.removesuffix('group') not in name2label:
            raise DataError(
                f'{path}: no Cityscapes label is called {item.label!r}. Put the original there.'
            )
    try:
        return np.array(createLabelImage(annotation, 'ids'))
    except Exception as error:  # the file steers the program: it may fail in any way
        raise _unusable(path, error) from error


def polygons_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of the annotated image.

    Raises:
        DataError: no annotation of polygons.
    """
    annotation = _read(path)
    return annotation.imgHeight, annotation.imgWidth


def _read(path: str | Path):
    try:
        from cityscapesscripts.helpers.annotation import Annotation
    except ImportError as error:
        raise DataError(
            f'{path}: labels are drawn from polygons by cityscapesscripts, which is not installed. '
            'Install it with `pip install --no-deps -r requirements-nodeps.txt`.'
        ) from error
    annotation = Annotation()
    try:
        with open_regular(path) as file:
            annotation.fromJsonText(file.read().decode())
        size = annotation.imgHeight, annotation.imgWidth
        if not all(type(side) is int and side > 0 for side in size):
            raise ValueError(f'{size} is no height and width')
        if not all(isinstance(item.label, str) for item in annotation.objects):
            raise ValueError('a label is no text')
    except OSError as error:
        raise DataError(f'{path} {why_unreadable(path, error)}') from error
    except Exception as error:  # as above
        raise _unusable(path, error) from error
    check_pixels(path, size)
    return annotation


def _unusable(path: str | Path, error: Exception) -> DataError:
    return DataError(
        f'{path} is not an annotation of polygons ({type(error).__name__}: {error}): truncated or '
        'another kind of file. Put it there again from where it came from.'
    )
