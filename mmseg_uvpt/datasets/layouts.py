"""Where each data set keeps its images and labels, and which command mends what is missing."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_uvpt.datasets.conversion.polygons import polygons_size, read_cityscapes_polygons
from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.datasets.files.image_files import images_below, left_out
from mmseg_uvpt.datasets.files.png_files import png_size
from mmseg_uvpt.datasets.label_encodings import (
    CITYSCAPES_TO_TRAIN_ID,
    SYNTHIA_TO_TRAIN_ID,
    read_cityscapes_label,
    read_gta_label,
    read_synthia_label,
    to_train_ids,
)

TRAIN_IDS = '_labelTrainIds.png'


def _gta(path: Path) -> np.ndarray:
    return to_train_ids(read_gta_label(path), CITYSCAPES_TO_TRAIN_ID)


def _synthia(path: Path) -> np.ndarray:
    return to_train_ids(read_synthia_label(path), SYNTHIA_TO_TRAIN_ID)


def _cityscapes(path: Path) -> np.ndarray:
    read = read_cityscapes_polygons if path.suffix == '.json' else read_cityscapes_label
    return to_train_ids(read(path), CITYSCAPES_TO_TRAIN_ID)


@dataclass(frozen=True)
class Layout:
    """The tree of one data set.

    Attributes:
        name: as in the names of the converter and of the folder under ``data/``.
        title: for people.
        images: folder of the images, relative to the root.
        labels: folder of the raw labels and of the converted ones beside them.
        image_suffix: what follows a frame's name.
        raw_suffixes: the same for raw labels, the preferred kind first.
        train_ids_suffix: the same for converted labels.
        splits: folders below ``images`` and ``labels`` that there should be; the first is what
            statistics are for.
        read: raw label file to train ids, uint8 (H, W).
        labels_needed: whether the first split is of no use without labels.
    """

    name: str
    title: str
    images: str
    labels: str
    image_suffix: str
    raw_suffixes: tuple[str, ...]
    train_ids_suffix: str
    splits: tuple[str, ...]
    read: Callable[[Path], np.ndarray]
    labels_needed: bool

    def splits_in(self, root: Path) -> tuple[str, ...]:
        """Return ``splits`` and whatever other folders there are beside them, sorted."""
        if self.splits == ('',):
            return self.splits
        folders = (root / self.images, root / self.labels)
        found = {p.name for f in folders if f.is_dir() for p in f.iterdir() if p.is_dir()}
        others = {name for name in found if not name.startswith('.')} - {*self.splits}
        return *self.splits, *sorted(others)

    def image_frames(self, root: Path, split: str) -> tuple[dict[str, Path], str]:
        """Find the images of a split.

        Where none has the suffix of the data set, they are photographs of one's own, under any
        name.

        Returns:
            tuple: images by frame name, sorted; and a sentence on what is left out, or none.
        """
        folder = root / self.images / split
        if not folder.is_dir():
            return {}, ''
        if found := _by_frame(folder, self.image_suffix):
            others = {p for p in paths_below(folder) if not p.endswith(self.image_suffix)}
            return found, left_out(folder, others)
        photographs, sentence = images_below(folder)
        return {_name(p.with_suffix(''), folder): p for p in photographs}, sentence

    def raw_labels(self, root: Path, split: str) -> dict[str, Path]:
        """Return the raw labels of a split by frame name, sorted."""
        folder = root / self.labels / split
        found: dict[str, Path] = {}
        for suffix in reversed(self.raw_suffixes):
            found |= _by_frame(folder, suffix)
        return dict(sorted(found.items()))

    def train_ids(self, root: Path, split: str, frame: str) -> Path:
        """Return where a frame's converted label belongs."""
        return root / self.labels / split / f'{frame}{self.train_ids_suffix}'

    def label_cure(self, root: str | Path, wanted: str) -> str:
        """Return what to do about a converted label that is missing.

        Args:
            root: of the data set.
            wanted: the label's path.
        """
        folder, suffix = Path(root) / self.labels, self.train_ids_suffix
        inside = Path(os.path.realpath(wanted)).is_relative_to(os.path.realpath(folder))
        if not inside or not wanted.endswith(suffix):
            return (
                f'{self.convert_command(root)} converts what is below {folder}, to names in '
                f'{suffix}: set data_prefix.seg_map_path and seg_map_suffix of the data set to '
                'where its labels are'
            )
        stem = wanted.removesuffix(suffix)
        raw = [stem + raw_suffix for raw_suffix in self.raw_suffixes]
        before = (
            '' if any(map(os.path.isfile, raw)) else f'There is no {raw[0]} either: put it there. '
        )
        return f'{before}Convert the labels: {self.convert_command(root)}'

    def convert_command(self, root: str | Path) -> str:
        """Return the command that converts the labels under ``root``."""
        return f'python tools/convert_datasets/{self.name}.py {root}'


def _by_frame(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    paths = (Path(path) for path in paths_below(folder) if path.endswith(suffix))
    frames = {_name(p, folder).removesuffix(suffix): p for p in paths}
    # Where raw labels end in plain '.png', converted ones in the same folder do so too.
    return {f: frames[f] for f in sorted(frames) if not frames[f].name.endswith(TRAIN_IDS)}


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def raw_label_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a raw label without decoding its pixels.

    Raises:
        DataError: the file cannot be read.
    """
    return polygons_size(path) if path.suffix == '.json' else png_size(path)


GTA = Layout(
    'gta', 'GTA', 'images', 'labels', '.png', ('.png',), TRAIN_IDS, ('',), _gta, True
)  # fmt: skip
SYNTHIA = Layout(
    'synthia', 'SYNTHIA', 'RGB', 'GT/LABELS', '.png', ('.png',), TRAIN_IDS, ('',), _synthia, True
)  # fmt: skip
CITYSCAPES = Layout(
    'cityscapes',
    'Cityscapes',
    'leftImg8bit',
    'gtFine',
    '_leftImg8bit.png',
    ('_gtFine_labelIds.png', '_gtFine_polygons.json'),
    '_gtFine_labelTrainIds.png',
    ('train', 'val'),
    _cityscapes,
    labels_needed=False,  # adaptation to the train split loads no label
)
LAYOUTS = {layout.name: layout for layout in (GTA, SYNTHIA, CITYSCAPES)}
