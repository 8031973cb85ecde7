"""The rule of online label correction: when a class is corrected, and which pixels change.

The rule is pure. It knows no runner, no files and no images: predictions, confidences and
labels come in as arrays, corrected labels and decisions go out, and its memory is a state dict.

Source: the paper's adaptive pseudo-label correction; formulas in docs/method.md, "The label
correction", steps 1 to 3.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from mmseg_uvpt.correction.slope import relative_slope_change


@dataclass(frozen=True)
class Decision:
    """What the rule decided after an iteration.

    Attributes:
        point: (C,) IoU of each class appended to the curve, NaN where a class has none; None if
            the queue is not full yet.
        started: classes that start correcting now, ascending.
        stopped: classes that stop now, ascending. A class can stop and start at once.
    """

    point: np.ndarray | None
    started: list[int]
    stopped: list[int]


class LabelCorrectionRule:
    """Decide which classes are corrected, and correct labels accordingly.

    Args:
        num_classes: number of classes C.
        epoch_length: iterations an epoch, at least 1. Nothing is corrected in the first epoch,
            and a class is corrected for one epoch at a time (rounded up to the next decision).
        interval: iterations between two decisions.
        queue_length: images over which an IoU is taken.
        slope: a class starts when the slope of its curve has changed by more than this share,
            in 0..1, and by less than 1.

    Attributes:
        correcting: (C,) bool, the classes that are corrected now.
        thresholds: (C,) float32, confidence at which a prediction is trusted; NaN before the
            first decision of the second epoch.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        epoch_length: int,
        interval: int = 200,
        queue_length: int = 1000,
        slope: float = 0.95,
    ) -> None:
        whole = {
            'num_classes': num_classes,
            'epoch_length': epoch_length,
            'interval': interval,
            'queue_length': queue_length,
        }
        for name, value in whole.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be a whole number of at least 1, not {value!r}')
        if not 0 <= slope < 1:
            raise ValueError(f'slope must be in 0..1 and below 1, not {slope!r}')
        self._settings = dict(whole, slope=slope)
        self.num_classes = num_classes
        self.epoch_length = epoch_length
        self.interval = interval
        self.slope = slope
        self.correcting = np.zeros(num_classes, bool)
        self.thresholds = np.full(num_classes, np.nan, np.float32)
        self._started_at = np.zeros(num_classes, np.int64)  # iteration of the last start
        self._curve: list[np.ndarray] = []  # one (C,) float64 point a decision
        self._curve_start = np.zeros(num_classes, np.int64)  # its length at the last start
        self._queue: deque[np.ndarray] = deque(maxlen=queue_length)  # (2, C) pixels an image

    @property
    def curve(self) -> np.ndarray:
        """(T, C) float64 IoU in 0..1, NaN in the gaps."""
        return np.reshape(np.array(self._curve), (-1, self.num_classes))

    def is_past_first_epoch(self, iteration: int) -> bool:
        """Whether labels may be corrected in ``iteration``, counted from 0."""
        return iteration >= self.epoch_length

    def earliest_start(self, images: int) -> float:
        """Return the iteration, counted from 0, after which a class may start at the earliest.

        That is a decision past the first epoch; the queue was full at the one before it, since a
        curve of one point has no change of slope.

        Args:
            images: of an iteration, in all processes.
        """
        full = -(-self._queue.maxlen // images) - 1
        decisions = max(-(-full // self.interval) + 1, -(-self.epoch_length // self.interval))
        return decisions * self.interval

    def is_due(self, iteration: int) -> bool:
        """Whether `decide` is to be called after ``iteration``, counted from 0."""
        return iteration % self.interval == 0

    def correct(
        self, label: np.ndarray, prediction: np.ndarray, confidence: np.ndarray
    ) -> np.ndarray | None:
        """Correct the labels of one image in the crop that was last predicted (step 3).

        Args:
            label: (H, W) uint8 current labels in that crop, 255 = ignore.
            prediction: (H, W) uint8 classes predicted there.
            confidence: (H, W) float16 or float32 in 0..1.

        Returns:
            (H, W) uint8 corrected labels, a new array; None if this image is left alone.
        """
        if not self.correcting.any():
            return None
        occurs = np.zeros(256, np.uint8)
        occurs[: self.num_classes] = self.correcting
        if not cv2.LUT(label, occurs).any():
            return None
        needed = np.full(256, np.inf, np.float32)
        needed[: self.num_classes][self.correcting] = self.thresholds[self.correcting]
        if confidence.dtype == np.float16:
            # bit patterns of float16 from 0 up are ordered like the numbers, and compared faster
            confidence, needed = confidence.view(np.uint16), _at_least(needed).view(np.uint16)
        return np.where(confidence >= cv2.LUT(prediction, needed), prediction, label)

    def observe(self, prediction: np.ndarray, label: np.ndarray) -> None:
        """Take in what was predicted for one image, and the labels it had (step 1).

        Args:
            prediction: (H, W) uint8 classes.
            label: (H, W) uint8 labels of the same crop, 255 = ignore.
        """
        self._queue.append(np.stack(intersection_and_union(prediction, label, self.num_classes)))

    def decide(self, iteration: int, thresholds: np.ndarray) -> Decision:
        """Extend the curve, stop and start classes, take over the thresholds (step 2).

        Args:
            iteration: counted from 0; its own images have been observed already.
            thresholds: (C,) quantile a class of all confidences kept so far; it is used only
                from the second epoch on.

        Returns:
            What changed.
        """
        point = self._extend_curve()
        started: list[int] = []
        stopped: list[int] = []
        if self.is_past_first_epoch(iteration):
            over = self.correcting & (iteration - self._started_at >= self.epoch_length)
            stopped = np.flatnonzero(over).tolist()
            self.correcting[over] = False
            started = [c for c in np.flatnonzero(~self.correcting).tolist() if self._is_flat(c)]
            self.correcting[started] = True
            self._started_at[started] = iteration
            self._curve_start[started] = len(self._curve)
            self.thresholds = np.asarray(thresholds, np.float32).copy()
        return Decision(point, started, stopped)

    def _extend_curve(self) -> np.ndarray | None:
        if len(self._queue) < self._queue.maxlen:
            return None
        intersection, union = np.sum(self._queue, axis=0)
        point = np.full(self.num_classes, np.nan)
        np.divide(intersection, union, out=point, where=union > 0)
        self._curve.append(point)
        return point

    def _is_flat(self, class_id: int) -> bool:
        values = self.curve[self._curve_start[class_id] :, class_id]
        return self.slope < relative_slope_change(values[~np.isnan(values)]) < 1

    def state_dict(self) -> dict[str, Any]:
        """Return everything that must survive, as tensors and numbers (``weights_only`` safe)."""
        queue = np.reshape(np.array(self._queue, np.int64), (-1, 2, self.num_classes))
        return {
            'settings': dict(self._settings),
            'correcting': torch.tensor(self.correcting),
            'thresholds': torch.tensor(self.thresholds),
            'started_at': torch.tensor(self._started_at),
            'curve': torch.tensor(self.curve),
            'curve_start': torch.tensor(self._curve_start),
            'queue': torch.tensor(queue),
        }

    def load_state_dict(self, state: dict[str, Any], other_settings: bool = False) -> None:
        """Take back what `state_dict` returned.

        Args:
            state: of a rule with the same settings.
            other_settings: accept other settings than the number of classes.

        Raises:
            ValueError: the state comes from a rule with other settings.
        """
        for name, value in self._settings.items():
            if other_settings and name != 'num_classes':
                continue
            saved = state['settings'].get(name)
            if saved is None or not math.isclose(saved, value):
                raise ValueError(f'{name} was {saved} when the state was saved and is {value} now')
        arrays = {k: v.cpu().numpy() for k, v in state.items() if k != 'settings'}
        self.correcting = arrays['correcting'].copy()
        self.thresholds = arrays['thresholds'].copy()
        self._started_at = arrays['started_at'].copy()
        self._curve = list(arrays['curve'].copy())
        self._curve_start = arrays['curve_start'].copy()
        self._queue.clear()
        self._queue.extend(arrays['queue'].copy())


def intersection_and_union(
    prediction: np.ndarray, label: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count, per class, the pixels in both and in either of two label maps.

    Args:
        prediction: (H, W) uint8 classes in ``0..num_classes - 1``.
        label: (H, W) uint8 classes, or 255 where the pixel does not count.
        num_classes: number of classes C.

    Returns:
        Intersection and union in pixels, both (C,) int64.
    """
    # One histogram of the pairs (label, prediction) holds everything: three times as fast as a
    # comparison a class. Pairs with label 255 land behind the first C rows and fall away.
    pairs = label.astype(np.uint16) * np.uint16(num_classes) + prediction
    table = np.bincount(pairs.ravel(), minlength=num_classes * num_classes)
    table = table[: num_classes * num_classes].reshape(num_classes, num_classes)
    intersection = table.diagonal().copy()
    return intersection, table.sum(axis=0) + table.sum(axis=1) - intersection


def _at_least(numbers: np.ndarray) -> np.ndarray:
    """Return the smallest float16 that is not below each number, infinity included."""
    rounded = numbers.astype(np.float16)
    return np.where(rounded < numbers, np.nextafter(rounded, np.float16(np.inf)), rounded)
