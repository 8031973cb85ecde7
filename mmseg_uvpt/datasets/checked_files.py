"""A data set that says at once, and how to mend it, when its files are not there."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from mmcv.transforms import LoadAnnotations
from mmengine.logging import print_log

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.datasets.files.image_files import SUFFIXES, left_out, naming, without_suffix
from mmseg_uvpt.datasets.files.predicted_files import without_predictions
from mmseg_uvpt.datasets.layouts import TRAIN_IDS, Layout
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import why_unreadable


class CheckedFiles:
    """Mixin in front of mmseg's `BaseSegDataset`: its file list is checked when it is made.

    Labels are asked for only if the pipeline loads them: adaptation trains on the target's images
    alone. ``img_suffix`` may name several suffixes.

    Attributes:
        layout: where the data set keeps its files.
    """

    layout: Layout

    def load_data_list(self) -> list[dict]:
        """Return mmseg's list of image and label paths, of all images below their folder.

        Raises:
            DataError: no folder of images, none in it, images that are links to nothing or
                folders, or images without a label.
        """
        images = Path(self.data_prefix['img_path'])
        if not images.is_dir():
            raise DataError(f'{images}: there is no such folder. {self._where_from()}')
        suffixes = as_suffixes(self.img_suffix)
        names = self._listed(suffixes) if self.ann_file else self._found(images, suffixes)
        frames = [self._frame(name, suffixes) for name in names]
        frames.sort(key=lambda frame: frame['img_path'])
        if not frames:
            raise DataError(
                f'{images}: no image there ends in {self.img_suffix!r}. {self._where_from()}'
            )
        if _loads_labels(self.pipeline):
            self._check_labels(frames)
        return frames

    def prepare_data(self, idx: int) -> object:
        """Return what the pipeline makes of a frame.

        Raises:
            DataError: nothing is left of its image.
        """
        with naming(self.get_data_info(idx)['img_path']):
            return super().prepare_data(idx)

    def _found(self, images: Path, suffixes: tuple[str, ...]) -> list[str]:
        """Return the images below their folder, relative to it; log what is left out there.

        Raises:
            DataError: some are no files, which mmengine would pass over.
        """
        below = [*paths_below(images)]
        photographs = without_predictions(below)
        paths = [path for path in photographs if self._has(path)]
        if len(photographs) < len(below):
            print_log(f'predictions made here, below {images}, are left out', 'current')
        found = [p for p in paths if p.endswith(suffixes) and not p.endswith(TRAIN_IDS)]
        wrong = [path for path in found if not os.path.isfile(path)]
        if wrong:
            raise DataError(
                f'{len(wrong)} images of {self.layout.title} are no files, the first is '
                f'{min(wrong)}, which {why_unreadable(min(wrong))}. Put them there again, or '
                'take those names away.'
            )
        others = [p for p in paths if not p.endswith((*suffixes, self.seg_map_suffix))]
        if said := left_out(images, (p for p in others if not os.path.isdir(p))):
            more = sorted({s for p in others if (s := Path(p).suffix).lower() in SUFFIXES})
            cure = f', or set img_suffix of the data set to {(*suffixes, *more)}' if more else ''
            print_log(
                f'{said}. They do not end in {self.img_suffix!r}: rename them{cure}',
                'current',
                logging.WARNING,
            )
        names = [os.path.relpath(path, images) for path in found]
        self._refuse_twins(names, suffixes)
        return names

    def _has(self, path: str) -> bool:
        """Tell whether a file below the folder of images is of this data set."""
        return True

    def _listed(self, suffixes: tuple[str, ...]) -> Iterator[str]:
        """Yield the images that ``ann_file`` names, one a line, with or without their suffix."""
        if reason := why_unreadable(self.ann_file):
            raise UserError(f'ann_file {self.ann_file} of {self.layout.title} {reason}')
        folder = self.data_prefix['img_path']
        for line in Path(self.ann_file).read_bytes().split(b'\n'):
            if stem := os.fsdecode(line.strip()):
                is_whole = stem.endswith(suffixes)
                names = [stem] if is_whole else [stem + suffix for suffix in suffixes]
                there = (name for name in names if os.path.isfile(os.path.join(folder, name)))
                yield next(there, names[0])

    def _frame(self, name: str, suffixes: tuple[str, ...]) -> dict:
        frame = {
            'img_path': os.path.join(self.data_prefix['img_path'], name),
            'label_map': self.label_map,
            'reduce_zero_label': self.reduce_zero_label,
            'seg_fields': [],
            'num_classes': len(self._metainfo['classes']),  # ids that its label may have
        }
        if (labels := self.data_prefix.get('seg_map_path')) is not None:
            label = without_suffix(name, suffixes) + self.seg_map_suffix
            frame['seg_map_path'] = os.path.join(labels, label)
        return frame

    def _refuse_twins(self, names: list[str], suffixes: tuple[str, ...]) -> None:
        """Raise a `DataError` where two images would have one label."""
        seen: dict[str, str] = {}
        for name in names:
            first = seen.setdefault(without_suffix(name, suffixes), name)
            if first != name:
                raise DataError(
                    f'{first} and {name} in {self.data_prefix["img_path"]} would have the same '
                    'label: rename one of them, or name fewer suffixes in img_suffix'
                )

    def _check_labels(self, frames: list[dict]) -> None:
        missing = [f for f in frames if not Path(f['seg_map_path']).is_file()]
        if missing:
            first = missing[0]
            raise DataError(
                f'{len(missing)} of {len(frames)} images of {self.layout.title} have no label, the '
                f'first is {first["img_path"]}: there is no {first["seg_map_path"]}. '
                f'{self.layout.label_cure(self._root(), first["seg_map_path"])}'
            )

    def _where_from(self) -> str:
        layout, root = self.layout, self._root()
        convert = f'convert its labels: {layout.convert_command(root)} and '
        return (
            f'data/README.md shows where to get {layout.title} and how its tree looks. With it in '
            f'place, {convert if layout.raw_suffixes else ""}check it: '
            f'python tools/check_data.py {root}'
        )

    def _root(self) -> str:
        return self.data_root or f'data/{self.layout.name}'


def as_suffixes(value: object) -> tuple[str, ...]:
    """Return ``img_suffix`` of a data set, a text or several, as a tuple.

    Raises:
        UserError: it is something else.
    """
    suffixes = (value,) if isinstance(value, str) else value
    several = isinstance(suffixes, list | tuple) and suffixes
    if several and all(isinstance(suffix, str) and suffix for suffix in suffixes):
        return tuple(suffixes)
    raise UserError(f"img_suffix={value!r}: it is a text, or several as in ('.jpg', '.JPG')")


def _loads_labels(transform: object) -> bool:
    """Return whether a transform, or one within it, loads labels."""
    within = (*getattr(transform, 'transforms', ()), *getattr(transform, 'subroutines', ()))
    return isinstance(transform, LoadAnnotations) or any(map(_loads_labels, within))
