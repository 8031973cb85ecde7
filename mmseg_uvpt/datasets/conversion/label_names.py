"""IDD and Mapillary Vistas, whose labels are told apart by their names.

Sources: IDD by its own table, ``csTrainId`` of ``helpers/anue_labels.py``
(https://github.com/AutoNUE/public-code). Mapillary Vistas has none of its own: what follows are
the labels that domain generalisation counts since RobustNet (``datasets/mapillary.py``,
https://github.com/shachoi/RobustNet), there by their ids in version 1.2; those of version 2.0 that
its finer names stand for are added.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np

from mmseg_uvpt.datasets.conversion.polygons import read_polygons
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.label_encodings import CLASSES, IGNORE, read_indices, to_train_ids
from mmseg_uvpt.files import open_regular, why_unreadable

_IDD_IGNORED = (
    *('parking', 'drivable fallback', 'rail track', 'animal', 'autorickshaw', 'caravan'),
    *('trailer', 'vehicle fallback', 'curb', 'guard rail', 'billboard', 'polegroup'),
    *('obs-str-bar-fallback', 'bridge', 'tunnel', 'fallback background', 'unlabeled'),
    *('ego vehicle', 'rectification border', 'out of roi', 'license plate'),
)
_IDD = {
    **dict.fromkeys(_IDD_IGNORED, IGNORE),
    **{name: i for i, name in enumerate(CLASSES) if name != 'terrain'},
    'non-drivable fallback': CLASSES.index('terrain'),
}

# each stands for itself and for the names that go on with '--'; the longest that fits counts
_VISTAS = {
    'construction--flat--road': 'road',
    'marking--general': 'road',  # 1.2
    'marking--continuous': 'road',  # 2.0, as the next two
    'marking--discrete': 'road',
    'marking-only--continuous': 'road',  # 2.0, as the next two
    'marking-only--discrete': 'road',
    'marking-only--discrete--crosswalk-zebra': None,
    'marking--discrete--crosswalk-zebra': None,  # as in 1.2, where it is no marking--general
    'object--manhole': 'road',
    'construction--barrier--curb': 'sidewalk',
    'construction--flat--sidewalk': 'sidewalk',
    'construction--structure--building': 'building',
    'construction--barrier--wall': 'wall',
    'construction--barrier--fence': 'fence',
    'object--support--pole': 'pole',
    'object--support--utility-pole': 'pole',
    'object--traffic-light': 'traffic light',
    'object--traffic-sign--front': 'traffic sign',
    'object--traffic-sign--direction-front': 'traffic sign',  # 2.0, as the next two
    'object--traffic-sign--information-parking': 'traffic sign',
    'object--traffic-sign--temporary-front': 'traffic sign',
    'nature--vegetation': 'vegetation',
    'nature--terrain': 'terrain',
    'nature--sky': 'sky',
    'human--person': 'person',
    'human--rider': 'rider',
    'object--vehicle--car': 'car',
    'object--vehicle--truck': 'truck',
    'object--vehicle--bus': 'bus',
    'object--vehicle--on-rails': 'train',
    'object--vehicle--motorcycle': 'motorcycle',
    'object--vehicle--bicycle': 'bicycle',
}


def read_idd_polygons(path: str | Path) -> np.ndarray:
    """Draw a ``_gtFine_polygons.json`` of IDD: uint8 (H, W), train ids 0..18 and 255.

    Stray clicks and labels that its table lacks are left out, as its own program
    (``preparation/json2labelImg.py``) does.

    Raises:
        DataError: see `read_polygons`.
    """
    return read_polygons(path, 'IDD', _IDD, IGNORE, strict=False)


def read_vistas_label(path: str | Path) -> np.ndarray:
    """Read a label of Mapillary Vistas, ``<root>/<split>/<version>/labels/<name>.png``.

    What its ids are called stands in ``<root>/config_<version>.json``.

    Returns:
        np.ndarray: uint8 (H, W), train ids 0..18 and 255.

    Raises:
        DataError: label or config cannot be read, or the label has ids that the config lacks.
    """
    label, version = read_indices(path, 'a Mapillary Vistas label'), Path(path).parts[-3]
    config = Path(path).parents[3] / f'config_{version}.json'
    table, number = _vistas_table(config)
    if label.max() >= number:
        raise DataError(
            f'{path}: id {label.max()} is none of the {number} labels of {config}. Put the '
            f'original labels of {version} there.'
        )
    return to_train_ids(label, table)


@cache
def _vistas_table(config: Path) -> tuple[np.ndarray, int]:
    """Return the train id of each id, uint8 (256,), and how many labels the config names."""
    cure = 'Put the one of the archive there: it says what the ids of the labels are called.'
    try:
        with open_regular(config) as file:
            names = [label['name'] for label in json.load(file)['labels']]
        classes = [_vistas_class(name) for name in names]
    except OSError as error:
        raise DataError(f'{config} {why_unreadable(config, error)}. {cure}') from error
    except Exception as error:  # whatever is there in its place
        raise DataError(
            f'{config} is no config of Mapillary Vistas ({type(error).__name__}: {error}). {cure}'
        ) from error
    if missing := [name for name in CLASSES if name not in classes]:
        raise DataError(f'{config} names no label that is {", ".join(missing)}. {cure}')
    table = np.full(256, IGNORE, np.uint8)
    table[: len(names)] = [IGNORE if c is None else CLASSES.index(c) for c in classes]
    return table, len(names)


def _vistas_class(name: str) -> str | None:
    """Return the class of Cityscapes that a label of Mapillary Vistas is; None: it is none."""
    parts = name.split('--')
    shorter = ('--'.join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((_VISTAS[each] for each in shorter if each in _VISTAS), None)
