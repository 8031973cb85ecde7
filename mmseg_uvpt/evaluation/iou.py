"""Intersection over union from exact pixel counts, and its means over some of the classes."""

from collections.abc import Sequence

import numpy as np
import torch


def confusion_matrix(
    prediction: torch.Tensor, truth: torch.Tensor, num_classes: int, ignore_index: int = 255
) -> np.ndarray:
    """Count pixels by true and predicted class.

    The counts are integers, so that sums over any number of frames stay exact; float32 sums are
    rounded above 2**24 pixels, as many as eight Cityscapes frames have.

    Args:
        prediction: integer class ids, (H, W), each in 0..num_classes-1.
        truth: integer class ids or ``ignore_index``, (H, W), on any device.
        num_classes: number of classes C.
        ignore_index: pixels with this true id count nowhere.

    Returns:
        int64 array (C, C), rows are true classes, columns predicted ones.

    Raises:
        ValueError: the shapes differ, or a value is no class id.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f'the prediction is {_size(prediction)}, the ground truth is {_size(truth)}'
        )
    truth = truth.to(prediction.device)
    ignored = truth == ignore_index
    # one bin for each pair, wrong values included, so that nothing has to be looked at twice
    rows = _in_bins(truth, num_classes).masked_fill(ignored, num_classes + 2)
    codes = rows * (num_classes + 2) + _in_bins(prediction, num_classes)
    counts = torch.bincount(codes.flatten(), minlength=(num_classes + 3) * (num_classes + 2))
    counts = counts.view(num_classes + 3, num_classes + 2)[:-1].cpu().numpy()
    if counts[[0, -1]].any():
        also = f' and {ignore_index}'
        raise _wrong_ids('the ground truth', truth[~ignored], num_classes, also)
    if counts[:, [0, -1]].any():
        raise _wrong_ids('the prediction', prediction[~ignored], num_classes)
    return counts[1:-1, 1:-1]


def _in_bins(label: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return id + 1 as int32; 0 for what is below the ids and num_classes + 1 for what is above."""
    lowest = -1 if label.dtype.is_signed else 0
    return label.clamp(lowest, num_classes).int() + 1


def _size(label: torch.Tensor) -> str:
    return ' x '.join(map(str, label.shape))


def _wrong_ids(name: str, ids: torch.Tensor, num_classes: int, also: str = '') -> ValueError:
    """Return an error that names the values outside 0..num_classes-1."""
    wrong = ids[(ids < 0) | (ids >= num_classes)].unique().tolist()
    values = ', '.join(map(str, wrong[:5])) + (', ...' if len(wrong) > 5 else '')
    return ValueError(f'{name} has values {values}; only 0..{num_classes - 1}{also} are allowed')


def iou_from_counts(intersection: np.ndarray, union: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Divide intersections by unions, class by class.

    Args:
        intersection: pixels of a class predicted as that class, whole numbers (..., C).
        union: pixels that are that class in truth or in prediction, whole numbers (..., C).
        present: whether the ground truth has a pixel of the class, bool (..., C).

    Returns:
        float64 (..., C) in 0..1; NaN where the class is not present, because a class that the
        ground truth lacks can be got wrong, but not right.
    """
    iou = np.full(present.shape, np.nan)
    np.divide(intersection, union, out=iou, where=present)
    return iou


def mean_iou(iou: np.ndarray, present: np.ndarray, subset: Sequence[int]) -> float:
    """Average the IoU of those classes of ``subset`` that are present.

    Args:
        iou: (C,), as `iou_from_counts` gives it.
        present: whether the ground truth has a pixel of the class, bool (C,).
        subset: ids of the classes that the mean is over.

    Returns:
        The mean, in 0..1; NaN if none of these classes is present.
    """
    counted = [i for i in subset if present[i]]
    return float(np.mean(iou[counted])) if counted else float('nan')
