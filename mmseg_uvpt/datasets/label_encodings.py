"""The raw label encodings of GTA, SYNTHIA, UrbanSyn and Cityscapes, and the train ids they become.

Importing this module loads neither torch nor mmseg, so that the converters start at once.

Sources: the Cityscapes label definition (cityscapesscripts, ``labels.py``); GTA ("Playing for
Data") stores Cityscapes ids as palette indices; SYNTHIA-RAND-CITYSCAPES stores its own ids in the
first of three 16-bit channels, and instance numbers in the second; UrbanSyn stores train ids (its
data card, https://huggingface.co/datasets/UrbanSyn/UrbanSyn) and 19 where none of them is.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from mmseg_uvpt.datasets.cityscapes_labels import BY_NAME
from mmseg_uvpt.datasets.files import png_files
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.png_files import (
    CURE,
    png_header,
    read_grey_png,
    read_palette_png,
    read_png,
)
from mmseg_uvpt.files import why_unreadable

IGNORE = 255


_SYNTHIA_IDS = {  # the train id is the position
    'road': 3,
    'sidewalk': 4,
    'building': 2,
    'wall': 21,
    'fence': 5,
    'pole': 7,
    'traffic light': 15,
    'traffic sign': 9,
    'vegetation': 6,
    'terrain': 16,
    'sky': 1,
    'person': 10,
    'rider': 17,
    'car': 8,
    'truck': 18,
    'bus': 19,
    'train': 20,
    'motorcycle': 12,
    'bicycle': 11,
}

CLASSES = tuple(_SYNTHIA_IDS)
PALETTE = tuple(BY_NAME[name].colour for name in CLASSES)

_HAS_TABLES_OF_16_BITS = int(cv2.__version__.split('.')[0]) >= 5

_LAST_CITYSCAPES_ID = 33
_LAST_GTA_ID = 34  # the licence plate, which Cityscapes calls -1 and does not draw
_LAST_SYNTHIA_ID = 22
_UNLABELLED_IN_URBANSYN = 19


def _table_of(ids: list[int]) -> np.ndarray:
    lut = np.full(256, IGNORE, np.uint8)
    lut[ids] = np.arange(len(ids), dtype=np.uint8)
    return lut


CITYSCAPES_TO_TRAIN_ID = _table_of([BY_NAME[name].id for name in CLASSES])
SYNTHIA_TO_TRAIN_ID = _table_of(list(_SYNTHIA_IDS.values()))
TRAIN_ID_TO_CITYSCAPES = np.zeros(256, np.uint8)  # 0, unlabeled, where there is no train id
TRAIN_ID_TO_CITYSCAPES[: len(CLASSES)] = [BY_NAME[name].id for name in CLASSES]


def to_train_ids(raw: np.ndarray, lut: np.ndarray) -> np.ndarray:
    """Translate raw ids by table, two pixels at a time where that can be done.

    Args:
        raw: uint8 (H, W).
        lut: uint8 (256,), one of the tables above.

    Returns:
        np.ndarray: uint8 (H, W), values 0..18 and 255.
    """
    if raw.size % 2 or not _HAS_TABLES_OF_16_BITS:
        return cv2.LUT(raw, lut)
    pairs = np.ascontiguousarray(raw).reshape(1, -1).view(np.uint16)
    return cv2.LUT(pairs, _table_of_pairs(lut.tobytes())).view(np.uint8).reshape(raw.shape)


@cache
def _table_of_pairs(lut: bytes) -> np.ndarray:
    """Return the table of two neighbouring bytes: uint16 (65536,)."""
    one = np.frombuffer(lut, np.uint8).astype(np.uint16)
    return (one[:, None] << 8 | one).ravel()


def read_gta_label(path: str | Path) -> np.ndarray:
    """Read a GTA label: a palette PNG whose indices are Cityscapes ids.

    The palette is compared too: a program that re-saves such a file may number its colours anew,
    and the indices then mean other classes.

    Returns:
        np.ndarray: uint8 (H, W), values 0..34.

    Raises:
        DataError: unreadable, no palette PNG, other indices, or another palette.
    """
    label, palette = read_palette_png(
        path,
        'A GTA label is one, and colours do not tell ids apart: unpack the original label files '
        'again, without re-saving them.',
    )
    _refuse_ids_above(_LAST_GTA_ID, label, path, 'a GTA label')
    for value in _values(label):
        train_id = CITYSCAPES_TO_TRAIN_ID[value]
        colour = tuple(palette[value : value + 1].ravel().tolist())  # () past the palette's end
        if train_id != IGNORE and colour != PALETTE[train_id]:
            raise DataError(
                f'{path}: palette index {value} should be {CLASSES[train_id]} with the colour '
                f'{PALETTE[train_id]}, but has the colour {colour}; the file was re-saved with '
                'another palette. Unpack the original label files again.'
            )
    return label


def read_synthia_label(path: str | Path) -> np.ndarray:
    """Read a SYNTHIA label: a 16-bit three-channel PNG with the class in the first channel.

    Pillow and imageio open these as all zeros without an error; OpenCV reads them right.

    Returns:
        np.ndarray: uint8 (H, W), values 0..22.

    Raises:
        DataError: unreadable, another encoding, other ids, or zero (void) everywhere.
    """
    pixels = read_png(path)
    if pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(
            f'{path}: a SYNTHIA label has three channels of 16 bits, this one has '
            f'{_describe(pixels)}. Take the files of GT/LABELS as the archive has them; GT/COLOR '
            'holds pictures.'
        )
    label = pixels[..., 2]
    _refuse_ids_above(_LAST_SYNTHIA_ID, label, path, 'a SYNTHIA label')
    if not label.any():
        raise DataError(
            f'{path}: every pixel is 0 (void), as when Pillow has read and saved a 16-bit label. '
            'Unpack the original label files again.'
        )
    return label.astype(np.uint8)


def read_urbansyn_label(path: str | Path) -> np.ndarray:
    """Read an UrbanSyn label, ``ss/ss_<number>.png``: train ids as 8-bit grey.

    Returns:
        np.ndarray: uint8 (H, W), values 0..18 and 255.

    Raises:
        DataError: unreadable, another encoding, or other ids.
    """
    pixels = read_png(path)
    channels = pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]  # grey, saved as RGB(A)
    label = np.ascontiguousarray(channels[..., 0])
    if pixels.dtype != np.uint8 or (channels != channels[..., :1]).any():
        raise DataError(
            f'{path}: an UrbanSyn label is grey with 8 bits, this one has {_describe(pixels)}. '
            'Take the files of ss; ss_colour holds pictures.'
        )
    label[label == _UNLABELLED_IN_URBANSYN] = IGNORE
    _refuse_ids_above(len(CLASSES) - 1, label[label != IGNORE], path, 'an UrbanSyn label')
    return label


def read_cityscapes_label(path: str | Path) -> np.ndarray:
    """Read a Cityscapes ``labelIds`` file: an 8-bit grey PNG.

    Returns:
        np.ndarray: uint8 (H, W), values 0..33.

    Raises:
        DataError: unreadable, another encoding, or other ids.
    """
    label = read_grey_png(path, 'a Cityscapes labelIds file')
    _refuse_ids_above(_LAST_CITYSCAPES_ID, label, path, 'a Cityscapes labelIds file')
    return label


def read_train_ids(path: str | Path, num_classes: int = len(CLASSES)) -> np.ndarray:
    """Read a ``*_labelTrainIds.png``, a converted label or a pseudo label.

    Args:
        path: of the label.
        num_classes: how many classes its data set has; those of Cityscapes if it names no others.

    Returns:
        np.ndarray: uint8 (H, W), values 0..num_classes - 1 and 255.

    Raises:
        DataError: unreadable, another encoding, or other values.
    """
    label = read_grey_png(
        path,
        'a train id label',
        'Make it again: tools/convert_datasets with --force for a ground truth, '
        'generate_pseudo_label.py for a pseudo label.',
    )
    allowed = _allowed(num_classes)
    if not to_train_ids(label, allowed).all():
        wrong = [value for value in _values(label) if not allowed[value]]
        again = 'generate_pseudo_label.py for a pseudo label'
        if num_classes == len(CLASSES):  # others nothing converts
            again = f'tools/convert_datasets with --force for a ground truth, {again}'
        raise DataError(
            f'{path}: label values {wrong} are outside 0..{num_classes - 1} and {IGNORE} (the data '
            f'set has {num_classes} classes). Name as many classes as the labels have (metainfo of '
            f'the config), or make the file again: {again}.'
        )
    return label


@cache
def _allowed(num_classes: int) -> np.ndarray:
    """Return which values a label may have: uint8 (256,), 0 or 1."""
    return np.isin(np.arange(256), [*range(num_classes), IGNORE]).astype(np.uint8)


def read_pseudo_label(path: str | Path, cure: str) -> np.ndarray:
    """Read a pseudo label: a grey PNG, or one with a palette, as written to be looked at.

    Args:
        path: of the file.
        cure: what to do about a file that cannot be used; ends the error.

    Returns:
        np.ndarray: uint8 (H, W), any values.

    Raises:
        DataError: the file is missing, damaged or encoded otherwise.
    """
    if reason := why_unreadable(path):
        raise DataError(f'{path} {reason}. {cure}')
    return read_indices(path, 'a pseudo label', cure)


def read_indices(path: str | Path, what: str, cure: str = CURE) -> np.ndarray:
    """Read the values of an 8-bit PNG that is grey, or has a palette that only colours it.

    Args:
        path: of the file.
        what: it should be, for the error.
        cure: what to do if it is not.

    Returns:
        np.ndarray: uint8 (H, W).

    Raises:
        DataError: the file is missing, damaged or encoded otherwise.
    """
    if png_header(path, cure).colour == png_files.PALETTE:
        return read_palette_png(path, cure)[0]
    return read_grey_png(path, what, cure)


def _refuse_ids_above(last: int, label: np.ndarray, path: str | Path, what: str) -> None:
    if label.max(initial=0) > last:
        wrong = np.unique(label[label > last]).tolist()
        raise DataError(
            f'{path}: {what} holds ids 0..{last}, this one also {wrong}. It is another kind of '
            'file: put the original label there.'
        )


def _values(label: np.ndarray) -> list[int]:
    """Return the values that occur in a uint8 array, ascending."""
    return np.flatnonzero(cv2.calcHist([label], [0], None, [256], [0, 256])).tolist()


def _describe(pixels: np.ndarray) -> str:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return f'{channels} of {8 * pixels.itemsize} bits'
