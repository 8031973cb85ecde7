"""How right the labels of a bank are, where the truth of its images exists: a diagnosis.

It needs labels of the target, so it is for data sets that have them. Nothing of it reaches the
training, the correction or the choice of a checkpoint.
"""

from pathlib import Path

import numpy as np
from mmseg.datasets import BaseSegDataset

from mmseg_uvpt.correction.bank_source import BankSource
from mmseg_uvpt.correction.label_bank import Box, LabelBank
from mmseg_uvpt.correction.pseudo_label_files import list_frames
from mmseg_uvpt.correction.record import Comparison
from mmseg_uvpt.datasets.label_encodings import IGNORE, read_train_ids
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.iou import iou_from_counts
from mmseg_uvpt.progress import progress


class Truth:
    """Labels of the images of a bank, as somebody drew them.

    Args:
        source: of the bank.
        dataset: of the images.
        folder: of label files, in a tree like that of the images.

    Raises:
        UserError: an image has no file there.
    """

    def __init__(self, source: BankSource, dataset: BaseSegDataset, folder: str) -> None:
        self._source = source
        self._paths = [frame.pseudo_label for frame in list_frames(dataset, Path(folder))]
        if missing := [path for path in self._paths if not path.is_file()]:
            raise UserError(
                f'truth_dir of the label correction: {len(missing)} of {len(self._paths)} labels '
                f'are missing, the first is {missing[0]}. Name the folder of the labels of the '
                'training images (data/cityscapes/gtFine/train), or None'
            )

    def compare(self, bank: LabelBank) -> Comparison:
        """Compare all labels of a bank, and those that it began with.

        Raises:
            UserError: a file is damaged, is of another size, or holds other classes.
        """
        number = self._source.identity.num_classes
        first, now = np.zeros((2, number, 256), np.int64)
        mended, spoilt, still_wrong = np.zeros((3, number), np.int64)
        paths = progress(self._paths, 'labels against the truth', 'frame')
        for i, path in enumerate(paths):
            truth = self._source.resize(read_train_ids(path, number))
            height, width = bank.layout.frame_sizes[i]
            if truth.shape != (height, width):
                raise UserError(f'{path} is of another size than its image: make it again')
            counted = truth != IGNORE
            truth = truth[counted]
            before = self._source.first_label(i)[counted]
            label = bank.read_label(i, Box(0, height, 0, width))[counted]
            first += _table(truth, before, number)
            now += _table(truth, label, number)
            changed, is_right = label != before, label == truth
            did_no_harm = (before == truth) | (before == IGNORE)
            mended += np.bincount(label[changed & is_right], minlength=number)
            spoilt += np.bincount(label[changed & ~is_right & did_no_harm], minlength=number)
            still_wrong += np.bincount(label[changed & ~is_right & ~did_no_harm], minlength=number)
        return Comparison(_iou(first), _iou(now), mended, spoilt, still_wrong)


def _table(truth: np.ndarray, label: np.ndarray, number: int) -> np.ndarray:
    """Count pixels by true class and label, both (N,) uint8: (number, 256)."""
    pairs = truth.astype(np.int32) * 256 + label
    return np.bincount(pairs, minlength=number * 256).reshape(number, 256)


def _iou(table: np.ndarray) -> np.ndarray:
    """Return the IoU of each class, (C,), from pixels by true class and label, (C, 256)."""
    intersection, true = np.diagonal(table), table.sum(axis=1)
    union = true + table[:, : len(table)].sum(axis=0) - intersection
    return iou_from_counts(intersection, union, true > 0)
