"""The metric that validation and test use."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.evaluation.class_subsets import class_subsets
from mmseg_uvpt.evaluation.iou import confusion_matrix
from mmseg_uvpt.evaluation.score import Score
from mmseg_uvpt.files import write_json

# Results of several processes pass from one to the other: mmengine's default is a folder in the
# current one, which machines need not share.
GATHERED = {'collect_device': 'gpu'}


@METRICS.register_module()
class DomainIoUMetric(BaseMetric):
    """IoU of each class and its mean over 19, 16 and 13 classes, side by side.

    Results, in percent: ``mIoU`` (over all classes), ``mIoU19``, ``mIoU16``, ``mIoU13``, ``aAcc``
    and ``IoU.<class>``, and the 95 % interval of each mean over the images, as ``mIoU_low`` and
    ``mIoU_high``, which fewer than five images do not have. A data set with N other classes has
    ``mIoU`` and ``mIoU<N>``. Classes without a pixel of ground truth have no ``IoU.<class>`` and
    are left out of the means; the log says which.

    Args:
        out_json: file that takes the result, counts included; written anew by each evaluation.
        ignore_index: pixels with this true id count nowhere.
        **kwargs: as for ``mmengine.evaluator.BaseMetric``.

    Attributes:
        score: what the last evaluation found, on the main process; None elsewhere.
    """

    def __init__(self, out_json: str | None = None, ignore_index: int = 255, **kwargs) -> None:
        super().__init__(**{**GATHERED, **kwargs})
        self.out_json = out_json
        self.ignore_index = ignore_index
        self.score: Score | None = None

    def names(self) -> list[str]:
        """Return what a checkpoint can be chosen by, where each class has a pixel."""
        classes = self.dataset_meta['classes']
        means = ['mIoU', *(f'mIoU{size}' for size in class_subsets(classes)), 'aAcc']
        prefix = f'{self.prefix}/' if self.prefix else ''
        return [f'{prefix}{name}' for name in (*means, *(f'IoU.{name}' for name in classes))]

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each frame.

        Args:
            data_batch: not used; predictions carry their ground truth.
            data_samples: one dict a frame; ``pred_sem_seg`` and ``gt_sem_seg`` each hold ``data``,
                integer class ids (1, H, W).

        Raises:
            UserError: a frame has no ground truth, one of another size, or values that are no
                train ids.
        """
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            image = sample.get('img_path', 'a frame')
            label = sample.get('seg_map_path') or image
            if 'gt_sem_seg' not in sample:
                raise UserError(
                    f'{image}: no ground truth was loaded for it, so it cannot be scored. Evaluate '
                    'a split that has labels, or take the frame out of the data set.'
                )
            prediction = sample['pred_sem_seg']['data'].squeeze(0)
            truth = sample['gt_sem_seg']['data'].squeeze(0)
            try:
                confusion = confusion_matrix(prediction, truth, num_classes, self.ignore_index)
            except ValueError as error:
                raise UserError(
                    f'{label}: {error}. If the label is at fault, convert the data set again: '
                    'python tools/convert_datasets/cityscapes.py <root> --force '
                    '(or gta.py, synthia.py).'
                ) from error
            self.results.append(confusion)

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Add up the frames, log the table, write the JSON file.

        Args:
            results: a confusion matrix a frame, of all processes.

        Returns:
            Name to percent; see the class.

        Raises:
            UserError: there is no frame, or no pixel of ground truth in any.
        """
        if not any(confusion.any() for confusion in results):
            raise UserError(
                f'{len(results)} frames were evaluated and none has a pixel of ground truth: look '
                'at the data with: python tools/check_data.py <data root>'
            )
        self.score = Score(tuple(self.dataset_meta['classes']), ImageCounts.of(results))
        print_log('\n' + self.score.table(), logger='current')
        if self.out_json is not None:
            write_json(self.out_json, self.score.to_json())
            print_log(f'wrote {self.out_json}', logger='current')
        return self.score.metrics()
