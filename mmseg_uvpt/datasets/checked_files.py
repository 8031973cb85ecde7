"""A data set that says at once, and how to mend it, when its files are not there."""

import logging
import os
from pathlib import Path

from mmcv.transforms import LoadAnnotations
from mmengine.logging import print_log

from mmseg_uvpt.datasets.data_error import DataError
from mmseg_uvpt.datasets.image_files import SUFFIXES
from mmseg_uvpt.datasets.layouts import Layout
from mmseg_uvpt.files import why_unreadable


class CheckedFiles:
    """Mixin in front of mmseg's `BaseSegDataset`: its file list is checked when it is made.

    Labels are asked for only if the pipeline loads them: adaptation trains on the target's images
    alone.

    Attributes:
        layout: where the data set keeps its files.
    """

    layout: Layout

    def load_data_list(self) -> list[dict]:
        """Return mmseg's list of image and label paths.

        Raises:
            DataError: no folder of images, none in it, images that are links to nothing or
                folders, or images without a label.
        """
        images = Path(self.data_prefix['img_path'])
        if not images.is_dir():
            raise DataError(f'{images}: there is no such folder. {self._where_from()}')
        frames = super().load_data_list()
        self._look_at_names(images)
        if not frames:
            raise DataError(
                f'{images}: no image there ends in {self.img_suffix!r}. {self._where_from()}'
            )
        if _loads_labels(self.pipeline):
            self._check_labels(frames)
        return frames

    def _look_at_names(self, images: Path) -> None:
        """Raise a `DataError` for images that are no files, log which have other names.

        mmengine would leave out either in silence.
        """
        paths = [
            os.path.join(folder, name)
            for folder, folders, files in os.walk(images, followlinks=True)
            for name in (*folders, *files)
            if name.endswith(self.img_suffix) or name.lower().endswith(SUFFIXES)
            if not name.startswith('.')
        ]
        wrong = [p for p in paths if p.endswith(self.img_suffix) and not os.path.isfile(p)]
        if wrong:
            raise DataError(
                f'{len(wrong)} images of {self.layout.title} are no files, the first is '
                f'{min(wrong)}, which {why_unreadable(min(wrong))}. Put them there again, or '
                'take those names away.'
            )
        others = [p for p in paths if not p.endswith((self.img_suffix, self.seg_map_suffix))]
        if others:
            print_log(
                f'{len(others)} images in {images} do not end in {self.img_suffix!r} and are left '
                f'out, {min(others)} for one; rename them, or set img_suffix of the data set',
                'current',
                logging.WARNING,
            )

    def _check_labels(self, frames: list[dict]) -> None:
        missing = [f for f in frames if not Path(f['seg_map_path']).is_file()]
        if missing:
            first = missing[0]
            raise DataError(
                f'{len(missing)} of {len(frames)} images of {self.layout.title} have no label, the '
                f'first is {first["img_path"]}: there is no {first["seg_map_path"]}. Convert the '
                f'labels: {self.layout.convert_command(self._root())}'
            )

    def _where_from(self) -> str:
        layout, root = self.layout, self._root()
        return (
            f'data/README.md shows where to get {layout.title} and how its tree looks. With it in '
            f'place, convert its labels: {layout.convert_command(root)} and check it: '
            f'python tools/check_data.py {root}'
        )

    def _root(self) -> str:
        return self.data_root or f'data/{self.layout.name}'


def _loads_labels(transform: object) -> bool:
    """Return whether a transform, or one within it, loads labels."""
    within = (*getattr(transform, 'transforms', ()), *getattr(transform, 'subroutines', ()))
    return isinstance(transform, LoadAnnotations) or any(map(_loads_labels, within))
