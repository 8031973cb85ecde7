"""All that one evaluation found, ready to be shown or stored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from prettytable import PrettyTable

from mmseg_uvpt.evaluation.bootstrap import (
    LEVEL,
    RESAMPLES,
    ImageCounts,
    Interval,
    mean_iou_interval,
)
from mmseg_uvpt.evaluation.class_subsets import class_subsets
from mmseg_uvpt.evaluation.iou import iou_from_counts, mean_iou

DEFINITION = (
    'IoU of a class: intersection / union of pixels summed over all frames, in percent, pixels '
    'without ground truth (255) left out. mIoU and a number: mean of the IoU of the classes '
    'listed under classes_of_mean; predictions are among all classes in each case. Classes '
    'without a pixel of ground truth have no IoU and are left out of the means. Intervals: '
    f'for {LEVEL} % confidence, by {RESAMPLES} resamples of the frames (expanded percentiles), '
    'each pooled like all frames.'
)


@dataclass(frozen=True)
class Score:
    """Scores of one evaluation, over the 19 classes of Cityscapes or over others.

    Args:
        classes: the class names in the order of their ids.
        counts: pixels of each frame, in the order of the data set.
    """

    classes: Sequence[str]
    counts: ImageCounts

    @property
    def frames(self) -> int:
        """Number of frames counted."""
        return len(self.counts.truth)

    @cached_property
    def intersection(self) -> np.ndarray:
        """Rightly predicted pixels of each class."""
        return self.counts.intersection.sum(axis=0)

    @cached_property
    def truth(self) -> np.ndarray:
        """Ground-truth pixels of each class."""
        return self.counts.truth.sum(axis=0)

    @cached_property
    def union(self) -> np.ndarray:
        """Pixels of each class in ground truth or prediction."""
        return self.counts.union.sum(axis=0)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Pixels predicted as each class, where there is ground truth."""
        return self.union - self.truth + self.intersection

    @cached_property
    def present(self) -> np.ndarray:
        """Whether the ground truth has a pixel of the class."""
        return self.truth > 0

    @cached_property
    def iou(self) -> np.ndarray:
        """IoU of each class in percent, NaN where the class is not present."""
        return 100 * iou_from_counts(self.intersection, self.union, self.present)

    @cached_property
    def subsets(self) -> dict[int, list[int]]:
        """Size of each class set to the ids in it."""
        return class_subsets(self.classes)

    @cached_property
    def means(self) -> dict[int, float]:
        """Size of each class set to the mean IoU of its classes, in percent."""
        return {size: mean_iou(self.iou, self.present, ids) for size, ids in self.subsets.items()}

    @cached_property
    def intervals(self) -> dict[int, Interval | None]:
        """Size of each class set to the 95 % interval of its mean IoU, in percent.

        None where fewer than five frames have a pixel of its classes (`FEWEST`).
        """
        found = {size: mean_iou_interval(self.counts, ids) for size, ids in self.subsets.items()}
        return {size: bounds and bounds.in_percent() for size, bounds in found.items()}

    @property
    def pixel_accuracy(self) -> float:
        """Rightly predicted share of all pixels with ground truth, in percent."""
        return 100 * float(self.intersection.sum() / self.truth.sum())

    @property
    def absent(self) -> list[str]:
        """Classes without a pixel of ground truth."""
        return [name for name, here in zip(self.classes, self.present, strict=True) if not here]

    @property
    def absent_but_predicted(self) -> list[str]:
        """Classes without a pixel of ground truth that are predicted somewhere all the same."""
        wrong = ~self.present & (self.predicted > 0)
        return [name for name, here in zip(self.classes, wrong, strict=True) if here]

    def metrics(self) -> dict[str, float]:
        """Return the scalars that mmengine logs; classes that are not present have none."""
        scalars = {'mIoU': self.means[len(self.classes)]}
        scalars |= {f'mIoU{size}': mean for size, mean in self.means.items()}
        scalars['aAcc'] = self.pixel_accuracy
        of_sizes = {f'mIoU{size}': bounds for size, bounds in self.intervals.items()}
        for name, bounds in {'mIoU': self.intervals[len(self.classes)], **of_sizes}.items():
            if bounds:
                scalars |= {f'{name}_low': bounds.low, f'{name}_high': bounds.high}
        scalars |= {
            f'IoU.{name}': float(iou)
            for name, iou in zip(self.classes, self.iou, strict=True)
            if not math.isnan(iou)
        }
        return scalars

    def table(self) -> str:
        """Return per-class IoU and the means side by side, as text for the console."""
        table = PrettyTable(['Class', *(f'IoU ({size})' for size in self.subsets)], align='r')
        table.align['Class'] = 'l'
        for i, name in enumerate(self.classes):
            cells = [percent(self.iou[i]) if i in ids else '' for ids in self.subsets.values()]
            table.add_row([name, *cells], divider=i == len(self.classes) - 1)
        table.add_row(['mean', *map(percent, self.means.values())])
        bounds = [
            ' to '.join(map(percent, each)) if each else '-' for each in self.intervals.values()
        ]
        table.add_row([f'{LEVEL} % interval, {self.frames} frames', *bounds])
        counted = [sum(self.present[ids]) for ids in self.subsets.values()]
        table.add_row(['classes counted', *counted])
        return '\n'.join([table.get_string(), *self.remarks()])

    def remarks(self) -> list[str]:
        """Say which classes the means leave out; nothing where all are present."""
        lines = []
        if self.absent:
            lines.append(
                f'absent: {", ".join(self.absent)} (no pixel of ground truth in '
                f'{self.frames} frames; left out of the means, not counted as 0)'
            )
        if self.absent_but_predicted:
            lines.append(f'absent, yet predicted somewhere: {", ".join(self.absent_but_predicted)}')
        return lines

    def to_json(self) -> dict:
        """Return everything as plain JSON values; what has no value is null."""
        means = {f'mIoU{size}': or_none(mean) for size, mean in self.means.items()}
        return {
            'mIoU': means[f'mIoU{len(self.classes)}'],
            **means,
            'aAcc': self.pixel_accuracy,
            'intervals': {f'mIoU{size}': bounds for size, bounds in self.intervals.items()},
            'frames': self.frames,
            'classes': list(self.classes),
            'IoU': dict(zip(self.classes, map(or_none, self.iou), strict=True)),
            'intersection': self.intersection.tolist(),
            'union': self.union.tolist(),
            'ground_truth_pixels': self.truth.tolist(),
            'predicted_pixels': self.predicted.tolist(),
            'absent': self.absent,
            'absent_but_predicted': self.absent_but_predicted,
            'classes_of_mean': {
                f'mIoU{size}': [self.classes[i] for i in ids if self.present[i]]
                for size, ids in self.subsets.items()
            },
            'definition': DEFINITION,
            'of_each_frame': self.counts.to_json(),
        }


def percent(value: float) -> str:
    """Return a score as text; a dash where there is none."""
    return '-' if math.isnan(value) else f'{value:.2f}'


def or_none(value: float) -> float | None:
    """Return a score as JSON can say it."""
    return None if math.isnan(value) else float(value)
