"""Where each data set keeps its images and labels, and which command mends what is missing."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmseg_uvpt.datasets.conversion.label_names import read_idd_polygons, read_vistas_label
from mmseg_uvpt.datasets.conversion.polygons import polygons_size, read_cityscapes_polygons
from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.datasets.files.image_files import SUFFIXES, images_below, left_out, without_suffix
from mmseg_uvpt.datasets.files.png_files import png_header
from mmseg_uvpt.datasets.files.predicted_files import without_predictions
from mmseg_uvpt.datasets.label_encodings import (
    CITYSCAPES_TO_TRAIN_ID,
    SYNTHIA_TO_TRAIN_ID,
    read_cityscapes_label,
    read_gta_label,
    read_synthia_label,
    read_urbansyn_label,
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
        images: folder of the images, relative to the root. Those of a split are in the folder of
            its name below, or in this one where it contains ``{split}``.
        labels: likewise of the raw labels and of the converted ones beside them.
        image_suffix: what follows a frame's name.
        raw_suffixes: the same for raw labels, the preferred kind first; none of a data set whose
            labels hold train ids.
        train_ids_suffix: the same for labels of train ids, converted ones or the data set's own.
        splits: those that there should be; the first is what statistics are for.
        read: raw label file to train ids, uint8 (H, W).
        labels_needed: whether the first split is of no use without labels.
        split_inside: whether folders of the splits are anywhere below ``images`` and ``labels``, as
            in ACDC below those of the weather.
        prefixes: with which names of images begin, and names of their raw labels instead.
        submission: ids that the benchmark's server asks for in predictions, ``'label ids'`` of
            Cityscapes or ``'train ids'``; empty where none is known.
    """

    name: str
    title: str
    images: str
    labels: str
    image_suffix: str
    raw_suffixes: tuple[str, ...]
    train_ids_suffix: str
    splits: tuple[str, ...]
    read: Callable[[Path], np.ndarray] | None
    labels_needed: bool
    split_inside: bool = False
    prefixes: tuple[str, str] = ('', '')
    submission: str = ''

    def folder(self, top: str, split: str) -> str:
        """Return the folder of a split, relative to the root, of ``images`` or ``labels``."""
        filled = top.format(split=split)
        below = filled == top and split and not self.split_inside
        return f'{top}/{split}' if below else filled

    def label_folders(self) -> list[str]:
        """Return the folders, relative to the root, that hold all labels."""
        return [*dict.fromkeys(self.labels.format(split=split) for split in self.splits)]

    def depth_in(self, root: Path) -> int:
        """Return how many folders deep a tree is like this one; 0 if it is not."""
        tops = [top.format(split=s) for top in (self.images, self.labels) for s in self.splits]
        tops += [self.folder(top, s) for top in (self.images, self.labels) for s in self.splits]
        return max((len(Path(top).parts) for top in tops if (root / top).is_dir()), default=0)

    def has_labels(self, root: Path) -> bool:
        """Tell whether a folder of labels is there."""
        return any((root / folder).is_dir() for folder in self.label_folders())

    def has(self, split: str, name: str) -> bool:
        """Tell whether a file below the folder of a split, named relative to it, is of it."""
        return not self.split_inside or split in Path(name).parent.parts

    def splits_in(self, root: Path) -> tuple[str, ...]:
        """Return ``splits`` and whatever other folders there are beside them, sorted."""
        fixed = '{split}' in self.images or self.split_inside or self.splits == ('',)
        if fixed or any(split != Path(split).name for split in self.splits):
            return self.splits
        folders = (root / self.images, root / self.labels)
        found = {p.name for f in folders if f.is_dir() for p in f.iterdir() if p.is_dir()}
        others = {name for name in found if not name.startswith('.')} - {*self.splits}
        return *self.splits, *sorted(others)

    def image_frames(self, root: Path, split: str) -> tuple[dict[str, Path], str]:
        """Find the images of a split.

        Those of a data set whose names say what they are (``_leftImg8bit.png``) may be of another
        format. Where none has the suffix of the data set, they are photographs of one's own, under
        any name.

        Returns:
            tuple: images by frame name, sorted; and a sentence on what is left out, or none.
        """
        folder = root / self.folder(self.images, split)
        if not folder.is_dir():
            return {}, ''
        ending = self.image_suffix.removesuffix(Path(self.image_suffix).suffix)
        suffixes = (self.image_suffix, *(ending + each for each in SUFFIXES if ending))
        if found := self._files(folder, split, suffixes):
            paths = (p for p in paths_below(folder) if self.has(split, os.path.relpath(p, folder)))
            sentences = [left_out(folder, {p for p in paths if not p.endswith(suffixes)})]
            others = (path for path in found.values() if not path.name.endswith(self.image_suffix))
            if used := sorted({ending + path.suffix for path in others}):
                sentences.append(f'Set img_suffix of the data set to {", ".join(used)}')
            return found, '. '.join(filter(None, sentences))
        photographs, sentence = images_below(folder)
        kept = {*without_predictions(paths_below(folder))}
        for path in (path for path in photographs if str(path) in kept):
            name = _name(path.with_suffix(''), folder)
            found[_name(path, folder) if name in found else name] = path
        return found, sentence

    def raw_labels(self, root: Path, split: str) -> dict[str, Path]:
        """Return the raw labels of a split by frame name, sorted."""
        folder, (image, raw) = root / self.folder(self.labels, split), self.prefixes
        found: dict[str, Path] = {}
        for suffix in reversed(self.raw_suffixes):
            found |= self._files(folder, split, (suffix,))
        return {_renamed(frame, raw, image): found[frame] for frame in sorted(found)}

    def _files(self, folder: Path, split: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
        found = _by_frame(folder, suffixes)
        return {frame: path for frame, path in found.items() if self.has(split, frame)}

    def train_ids(self, root: Path, split: str, frame: str) -> Path:
        """Return where a frame's converted label belongs."""
        return root / self.folder(self.labels, split) / f'{frame}{self.train_ids_suffix}'

    def label_cure(self, root: str | Path, wanted: str) -> str:
        """Return what to do about a converted label that is missing.

        Args:
            root: of the data set.
            wanted: the label's path.
        """
        if not self.raw_suffixes:
            return f'Put the labels there: {self.title} holds them as they are (data/README.md)'
        suffix, folders = self.train_ids_suffix, [Path(root) / f for f in self.label_folders()]
        real = Path(os.path.realpath(wanted))
        inside = any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)
        if not inside or not wanted.endswith(suffix):
            return (
                f'{self.convert_command(root)} converts what is below '
                f'{" and ".join(map(str, folders))}, to names in {suffix}: set '
                'data_prefix.seg_map_path and seg_map_suffix of the data set to where its labels '
                'are'
            )
        stem = _renamed(wanted.removesuffix(suffix), *self.prefixes)
        raw = [stem + raw_suffix for raw_suffix in self.raw_suffixes]
        before = (
            '' if any(map(os.path.isfile, raw)) else f'There is no {raw[0]} either: put it there. '
        )
        return f'{before}Convert the labels: {self.convert_command(root)}'

    def convert_command(self, root: str | Path) -> str:
        """Return the command that converts the labels under ``root``, which has raw ones."""
        return f'python tools/convert_datasets/{self.name}.py {root}'


def _by_frame(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    below = without_predictions(paths_below(folder))
    paths = (Path(path) for path in below if path.endswith(suffixes))
    frames = {without_suffix(_name(p, folder), suffixes): p for p in paths}
    # Where raw labels end in plain '.png', converted ones in the same folder do so too.
    return {f: frames[f] for f in sorted(frames) if not frames[f].name.endswith(TRAIN_IDS)}


def _renamed(frame: str, before: str, after: str) -> str:
    folder, name = os.path.split(frame)
    return os.path.join(folder, after + name.removeprefix(before))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def raw_label_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a raw label without decoding its pixels.

    Raises:
        DataError: the file cannot be read.
    """
    return polygons_size(path) if path.suffix == '.json' else png_header(path).size


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
    submission='label ids',
)

# What follows was written by public descriptions, none of it tried on the data set itself; sources
# of labels are named where they are read. Trees and file names: ACDC, Dark Zurich and BDD100K by
# https://github.com/brdav/refign (README, data_modules), the older BDD100K and IDD by
# https://github.com/AutoNUE/public-code (README), Mapillary Vistas 2.0 by datumaro
# (plugins/data_formats/mapillary_vistas), UrbanSyn by its data card.
URBANSYN = Layout(
    'urbansyn', 'UrbanSyn', 'rgb', 'ss', '.png', ('.png',), TRAIN_IDS, ('',), read_urbansyn_label,
    labels_needed=True, prefixes=('rgb_', 'ss_'),
)  # fmt: skip
ACDC = Layout(
    'acdc', 'ACDC', 'rgb_anon', 'gt', '_rgb_anon.png', (), '_gt_labelTrainIds.png',
    ('train', 'val'), None, labels_needed=False, split_inside=True,
    # the server's rules as https://github.com/hf618/DTBS (README) repeats them: train ids, at the
    # images' size; refign, and MIC (https://github.com/lhoyer/MIC, seg/README.md) write the same
    submission='train ids',
)  # fmt: skip
DARK_ZURICH = Layout(
    'dark_zurich', 'Dark Zurich', 'rgb_anon', 'gt', '_rgb_anon.png', (), '_gt_labelTrainIds.png',
    ('train/night', 'val/night'), None, labels_needed=False,
)  # fmt: skip
BDD100K = Layout(
    'bdd100k', 'BDD100K', 'images/10k', 'labels/sem_seg/masks', '.jpg', (), '.png',
    ('train', 'val'), None, labels_needed=False,
)  # fmt: skip
BDD100K_SEG = Layout(
    'bdd100k_seg', 'BDD100K (seg)', 'images', 'labels', '.jpg', (), '_train_id.png',
    ('train', 'val'), None, labels_needed=False,
)  # fmt: skip
MAPILLARY = Layout(
    'mapillary', 'Mapillary Vistas', '{split}/images', '{split}/v1.2/labels', '.jpg', ('.png',),
    TRAIN_IDS, ('training', 'validation'), read_vistas_label, labels_needed=False,
)  # fmt: skip
MAPILLARY_V2 = replace(
    MAPILLARY, name='mapillary_v2', title='Mapillary Vistas 2.0', labels='{split}/v2.0/labels'
)
IDD = replace(
    CITYSCAPES, name='idd', title='IDD', raw_suffixes=('_gtFine_polygons.json',),
    read=read_idd_polygons, submission='',
)  # fmt: skip
LAYOUTS = {
    layout.name: layout
    for layout in (
        *(GTA, SYNTHIA, CITYSCAPES, URBANSYN, ACDC, DARK_ZURICH),
        *(BDD100K, BDD100K_SEG, MAPILLARY, MAPILLARY_V2, IDD),
    )
}
