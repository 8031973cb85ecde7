"""A few photographs with label maps, to score with."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.datasets.files.image_files import check_whole_image, images_below, without_suffix
from mmseg_uvpt.datasets.label_encodings import IGNORE, read_train_ids
from mmseg_uvpt.datasets.layouts import CITYSCAPES, TRAIN_IDS
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import is_text
from mmseg_uvpt.progress import progress

LAYOUTS = (
    f'photographs with their label maps beside them, IMG_1.jpg and IMG_1{TRAIN_IDS}; or in two '
    'folders, images/IMG_1.jpg and labels/IMG_1.png; or as Cityscapes has them (leftImg8bit/val '
    'and gtFine/val)'
)


class Labelled(NamedTuple):
    """Photographs with label maps.

    Attributes:
        root: their folder.
        images, labels: those of the images and of the label maps, relative to it.
        label_suffix: what follows a photograph's name in that of its label map.
        image_suffixes: of the photographs.
        names: of the photographs, relative to ``images``, that have a label map.
        without: how many have none.
    """

    root: Path
    images: str
    labels: str
    label_suffix: str
    image_suffixes: tuple[str, ...]
    names: list[str]
    without: int

    def label_of(self, name: str) -> str:
        """Return the label map of a photograph, relative to ``labels``, as the data set has it."""
        return without_suffix(name, self.image_suffixes) + self.label_suffix

    def files(self) -> set[Path]:
        """Return the resolved paths of photographs and label maps."""
        named = (
            (self.root / self.images / n, self.root / self.labels / self.label_of(n))
            for n in self.names
        )
        return {real(path) for pair in named for path in pair}

    def is_map(self, path: Path) -> bool:
        """Tell whether a path, links followed, is below the folder of the label maps alone."""
        labels = real(self.root / self.labels)
        return self.labels != self.images and path.is_relative_to(labels)

    def check(self, classes: Sequence[str]) -> list[str]:
        """Read all label maps and their photographs.

        Returns:
            list: the classes that no label map has.

        Raises:
            UserError: one cannot be read, has other values than classes and 255, or another size
                than its photograph; or all maps have one class, or none.
        """
        seen: set[int] = set()
        for name in progress(self.names, 'reading label maps', 'label map'):
            image = self.root / self.images / name
            label = self.root / self.labels / self.label_of(name)
            try:
                train_ids = read_train_ids(label, len(classes))
                size = check_whole_image(image)
            except DataError as error:
                path = next((str(p) for p in (label, image) if str(error).startswith(str(p))), '')
                told = str(error).removeprefix(path)
                what = path + re.split(r'\. (?=[A-Z])', told)[0]  # what follows is for data sets
                raise UserError(
                    f'--labelled: {what}: mend it, or take it and its photograph away'
                ) from error
            seen.update(np.unique(train_ids).tolist())
            height, width = train_ids.shape
            if size != (height, width):
                raise UserError(
                    f'--labelled: {label} has {width} x {height} pixels, its photograph '
                    f'{size[1]} x {size[0]}: put the right label map there, or take both away'
                )
        seen.discard(IGNORE)
        if len(seen) < min(2, len(classes)):
            told = ''.join(f' but {classes[i]}' for i in seen)
            raise UserError(
                f'--labelled {self.root}: its label maps have no class{told} (other pixels are '
                f'{IGNORE}, which do not count), and a model that says nothing else would be right '
                'everywhere: label the others, too (in a mask of 0 and 255 write 1 for 255), or '
                'leave --labelled out'
            )
        return [name for i, name in enumerate(classes) if i not in seen]


def find_labelled(root: Path) -> Labelled:
    """Find photographs with label maps, in one of three layouts.

    Raises:
        UserError: there is no such folder, or none in it has a label map.
    """
    if not root.is_dir():
        raise UserError(f'--labelled {root} is no folder: name one of {LAYOUTS}')
    for images, labels, label_suffix, image_suffix in _layouts():
        if not (root / images).is_dir() or not (root / labels).is_dir():
            continue
        found = _names(root / images, image_suffix)
        suffixes = (image_suffix,) if image_suffix else file_suffixes(found)
        layout = Labelled(root, images, labels, label_suffix, suffixes, [], 0)
        maps = {Path(path) for path in paths_below(root / labels)}
        by_map = {root / labels / layout.label_of(name): name for name in reversed(found)}
        names = [name for path, name in reversed(by_map.items()) if path in maps]
        if names:  # of a photograph in several formats one
            return layout._replace(names=names, without=len(found) - len(names))
    raise UserError(
        f'--labelled {root} holds no photograph with a label map: name one of {LAYOUTS}'
    )


def truth_of(names: Iterable[str], photographs: Path, labelled: Labelled) -> Path | None:
    """Return the folder of the label maps of photographs that are adapted to, if all have one.

    That is known of Cityscapes' layout, whose other images are labelled to score with.

    Args:
        names: of the photographs, relative to ``photographs``.
        photographs: their folder.
        labelled: those to score with.
    """
    for split in CITYSCAPES.splits:
        images, labels = (
            labelled.root / CITYSCAPES.folder(top, split)
            for top in (CITYSCAPES.images, CITYSCAPES.labels)
        )
        maps = (labels / labelled.label_of(name) for name in names)
        if real(images) == real(photographs) and all(path.is_file() for path in maps):
            return labels
    return None


def _layouts() -> Iterator[tuple[str, str, str, str]]:
    """Yield folders of images and of labels, and what follows names of labels and of images."""
    for split in reversed(CITYSCAPES.splits):
        folders = (
            CITYSCAPES.folder(CITYSCAPES.images, split),
            CITYSCAPES.folder(CITYSCAPES.labels, split),
        )
        yield *folders, CITYSCAPES.train_ids_suffix, CITYSCAPES.image_suffix
    yield 'images', 'labels', '.png', ''
    yield '.', '.', TRAIN_IDS, ''


def _names(folder: Path, suffix: str) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in images_below(folder)[0])
    found = [name for name in names if name.endswith(suffix) and not name.endswith(TRAIN_IDS)]
    if unlisted := [name for name in found if not is_listable(name)]:
        raise UserError(
            f'--labelled: {unlisted[0]!a} in {str(folder)!a} has a name that no list can hold: '
            'rename it'
        )
    return found


def is_listable(name: str) -> bool:
    """Tell whether a name can stand in a line of a list, in UTF-8."""
    return name == name.strip() and not {'\n', '\r'} & set(name) and is_text(name)


def real(path: Path) -> Path:
    """Return a path with all links followed; one that leads to itself stays."""
    return Path(os.path.realpath(path))


def file_suffixes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the suffixes of files, sorted, each once."""
    return tuple(sorted({Path(name).suffix for name in names}))
