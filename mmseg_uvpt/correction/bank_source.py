"""Making the label bank of a training data set from its pseudo labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmcv.transforms import Resize
from mmseg.datasets import BaseSegDataset

from mmseg_uvpt.correction.identity import BankIdentity
from mmseg_uvpt.correction.label_bank import LabelBank
from mmseg_uvpt.correction.pseudo_label_files import check_frames, list_frames, read_pseudo_labels
from mmseg_uvpt.datasets.image_cache import all_transforms
from mmseg_uvpt.datasets.moved_pixels import check_label_place
from mmseg_uvpt.datasets.transforms import LoadPseudoLabel
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.progress import progress


class BankSource:
    """A target training set and its pseudo labels.

    Args:
        dataset: its pipeline resizes each image in a fixed way (``Resize`` transforms, or none)
            and crops it with ``CropWithBox``.
        pseudo_label_dir: folder with a tree like that of the images.
        num_classes: number of classes.

    Raises:
        UserError: the data set or its pipeline cannot be used for label correction.
    """

    def __init__(
        self, dataset: BaseSegDataset, pseudo_label_dir: str | Path, num_classes: int
    ) -> None:
        if not isinstance(dataset, BaseSegDataset):
            raise UserError(
                f'label correction needs a plain data set, not the wrapper '
                f'{type(dataset).__name__}: name the data set itself in train_dataloader.dataset'
            )
        self._folder = Path(pseudo_label_dir).resolve()
        self._frames = list_frames(dataset, self._folder)
        transforms = all_transforms(dataset.pipeline.transforms)
        self._resizes = [t for t in transforms if isinstance(t, Resize)]
        crops = [t for t in transforms if hasattr(t, 'crop_size')]
        if len(crops) != 1:
            raise UserError(
                f'label correction needs one cropping transform in the training pipeline, found '
                f"{len(crops)}: use dict(type='CropWithBox', crop_size=(512, 512))"
            )
        check_label_place(dataset.pipeline.transforms)
        if any(isinstance(t, LoadPseudoLabel) for t in transforms):
            self._check_same_labels(dataset)
        elif getattr(crops[0], 'cat_max_ratio', 1) < 1:
            raise UserError(
                'CropWithBox draws by the classes of the pseudo label (cat_max_ratio), which '
                "nothing loads: put dict(type='LoadPseudoLabel') behind LoadImageChecked"
            )
        self.identity = BankIdentity(
            pseudo_label_dir=str(self._folder),
            num_classes=num_classes,
            crop_size=tuple(crops[0].crop_size),
            resize=' '.join(map(repr, self._resizes)) or 'none',
            frames=tuple(frame.name for frame in self._frames),
        )

    def _check_same_labels(self, dataset: BaseSegDataset) -> None:
        """Raise a `UserError` where crops are drawn by other pseudo labels than the bank's."""
        drawn_by = getattr(dataset, 'pseudo_label_dir', None)
        if drawn_by and Path(drawn_by).resolve() != self._folder:
            raise UserError(
                f'crops are drawn by the pseudo labels in {drawn_by} '
                '(train_dataloader.dataset.pseudo_label_dir), labels begin with those in '
                f'{self._folder} (of the label correction): name the same folder. train.py does'
            )

    def make_bank(self, folder: Path) -> LabelBank:
        """Create the bank ``folder``, whole or not at all; see `LabelBank.create`.

        Raises:
            UserError: a pseudo label cannot be used, or the bank cannot be written.
        """
        sizes = check_frames(self._frames, self._folder)
        resized = {size: self.resize(np.zeros(size, np.uint8)).shape for size in set(sizes)}
        return LabelBank.create(
            folder, self.identity, [resized[size] for size in sizes], self._labels()
        )

    def _labels(self) -> Iterator[np.ndarray]:
        labels = read_pseudo_labels(self._frames, self._folder, self.identity.num_classes)
        for label in progress(labels, 'label bank', 'frame', len(self._frames)):
            yield self.resize(label)

    def first_label(self, i: int) -> np.ndarray:
        """Return what the bank began with of frame ``i``, (h, w), read from its file."""
        frame = [self._frames[i]]
        return self.resize(*read_pseudo_labels(frame, self._folder, self.identity.num_classes))

    def resize(self, label: np.ndarray) -> np.ndarray:
        """Resize as the training pipeline resizes labels (nearest): (H, W) to (h, w)."""
        results = {'img': label, 'gt_seg_map': label, 'seg_fields': ['gt_seg_map']}
        for resize in self._resizes:
            results = resize.transform(results)
        return results['gt_seg_map']
