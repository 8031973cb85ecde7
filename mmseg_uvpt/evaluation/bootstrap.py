"""How sure a mean IoU is: bootstrap over images, of one model and of two on the same images.

Images are drawn with replacement, and the pixels of those drawn are added up before IoU is taken,
as an evaluation does with all images (percentile interval: Efron and Tibshirani, An Introduction
to the Bootstrap, 1993, chapter 13). Resamples of N images vary less than other images would, by
sqrt((N - 1) / N), and N images do not tell well by how much; so the percentiles lie further out
the fewer images have any of the classes (expanded percentile interval: Hesterberg, What Teachers
Should Know About the Bootstrap, 2015, section 5.3). Only images vary: not the seed of a training.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from mmseg_uvpt.evaluation.iou import iou_from_counts

LEVEL = 95  # percent of intervals that are to hold what all images would give
RESAMPLES = 2000
FEWEST = 5  # images: of two equal models four and fewer call one surely better too often
_BLOCK = 100  # resamples at a time: 1 MB for each thousand images


class Interval(NamedTuple):
    """Bounds by the resamples, for 95 % confidence, in the unit of what they bound."""

    low: float
    high: float

    def in_percent(self) -> 'Interval':
        """Return the bounds of a share as percentages."""
        return Interval(100 * self.low, 100 * self.high)


@dataclass(frozen=True)
class ImageCounts:
    """Pixels of each of N images and C classes, of which IoU is made.

    The reference that predictions are compared with is ground truth in an evaluation; it may as
    well be what another model says of the same images.

    Args:
        intersection: pixels that are the class in prediction and reference, int64 (N, C).
        union: pixels that are the class in one of the two at least, int64 (N, C).
        truth: pixels that are the class in the reference, int64 (N, C).
    """

    intersection: np.ndarray
    union: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, confusions: Iterable[np.ndarray]) -> 'ImageCounts':
        """Make counts of one confusion matrix an image (`iou.confusion_matrix`), in their order."""
        matrices = np.stack(list(confusions))
        intersection = matrices.diagonal(axis1=1, axis2=2)
        truth = matrices.sum(axis=2)
        return cls(intersection, truth + matrices.sum(axis=1) - intersection, truth)

    @classmethod
    def from_json(cls, lists: Mapping[str, list]) -> 'ImageCounts':
        """Make counts of what `to_json` gave."""
        names = ('intersection', 'union', 'ground_truth_pixels')
        return cls(*(np.array(lists[name], np.int64) for name in names))

    def to_json(self) -> dict[str, list]:
        """Return the counts as lists, as results of tests hold them."""
        return {
            'intersection': self.intersection.tolist(),
            'union': self.union.tolist(),
            'ground_truth_pixels': self.truth.tolist(),
        }

    @cached_property
    def resampled_iou(self) -> np.ndarray:
        """IoU of each class in each resample, float64 (RESAMPLES, C) in 0..1, NaN where absent.

        The images of a resample depend on their number N alone, so two models' resamples are
        pairs; no random state outside is used or changed.
        """
        images = len(self.truth)
        draw, shares = np.random.default_rng(0), np.full(images, 1 / images)
        # whole numbers, which float64 adds exactly below 2**53, and faster than int64
        pixels = np.hstack([self.intersection, self.union, self.truth]).astype(np.float64)
        pooled = [
            draw.multinomial(images, shares, _BLOCK) @ pixels for _ in range(0, RESAMPLES, _BLOCK)
        ]
        intersection, union, truth = np.split(np.vstack(pooled), 3, axis=1)
        return iou_from_counts(intersection, union, truth > 0)


def mean_iou_interval(counts: ImageCounts, subset: Sequence[int] | None = None) -> Interval | None:
    """Return the 95 % interval of the mean IoU by bootstrap over images, in 0..1.

    Args:
        counts: of each image.
        subset: ids of the classes that the mean is over, one or several; by default all. Those
            that the reference of a resample lacks are left out of its mean.

    Returns:
        Interval: None where fewer than `FEWEST` images have any of these classes in the
            reference.
    """
    images = _labelled(counts, subset)
    return expanded_interval(_means(counts, subset), images) if images >= FEWEST else None


def mean_iou_difference_interval(
    counts: ImageCounts, baseline: ImageCounts, subset: Sequence[int] | None = None
) -> Interval | None:
    """Return the 95 % interval of how far a mean IoU is above the baseline's, in -1..1.

    It is paired: each resample takes the same images for both, so what makes an image easy or
    hard for both cancels.

    Args:
        counts: of each image, by one model.
        baseline: of the same images in the same order, by another model.
        subset: as of `mean_iou_interval`.

    Returns:
        Interval: above 0 where ``counts`` are better; None as of `mean_iou_interval`.

    Raises:
        ValueError: the two do not have the same images and reference.
    """
    return mean_difference_interval({0: (counts, baseline)}, subset)


def mean_difference_interval(
    pairs: Mapping[int, tuple[ImageCounts, ImageCounts]], subset: Sequence[int] | None = None
) -> Interval | None:
    """Return the 95 % interval of a difference of mean IoU that is averaged over seeds, in -1..1.

    Images are drawn for each seed, for both of its models alike, and the differences of the seeds
    are averaged in each resample.

    Args:
        pairs: by the seed the counts of a model, and those of its baseline on the same images.
        subset: as of `mean_iou_interval`.

    Returns:
        Interval: None where fewer than `FEWEST` images of a seed have any of these classes.

    Raises:
        ValueError: two of a pair do not have the same images and reference.
    """
    for counts, baseline in pairs.values():
        if not np.array_equal(counts.truth, baseline.truth):
            raise ValueError(
                'counts and baseline are not of the same images with the same reference'
            )
    images = min((_labelled(counts, subset) for counts, _ in pairs.values()), default=0)
    if images < FEWEST:
        return None
    # resamples of equally many images are the same draws: in another order for each seed
    resampled = [
        np.random.default_rng(seed).permutation(_means(counts, subset) - _means(baseline, subset))
        for seed, (counts, baseline) in pairs.items()
    ]
    return expanded_interval(np.mean(resampled, 0), images)


def expanded_interval(values: np.ndarray, images: int) -> Interval:
    """Return the 95 % interval of resampled values, NaN left out, of so many images (two or more).

    Of several sets of images, resampled apart and averaged, it is the number in each.
    """
    student = special.stdtrit(images - 1, (1 - LEVEL / 100) / 2)
    tail = 100 * special.ndtr(student * np.sqrt(images / (images - 1)))  # 0.1 of 5, 2.2 of 60
    return Interval(*np.nanpercentile(values, [tail, 100 - tail]).tolist())


def _means(counts: ImageCounts, subset: Sequence[int] | None) -> np.ndarray:
    """Return the mean IoU of each resample, (RESAMPLES,); NaN where it has none of the classes."""
    iou = counts.resampled_iou[:, _columns(subset)]
    present = (~np.isnan(iou)).sum(axis=1)
    total = np.nansum(iou, axis=1)
    return np.divide(total, present, out=np.full(len(iou), np.nan), where=present > 0)


def _labelled(counts: ImageCounts, subset: Sequence[int] | None) -> int:
    """Return how many images have any of the classes in the reference."""
    return int(counts.truth[:, _columns(subset)].any(axis=1).sum())


def _columns(subset: Sequence[int] | None) -> slice | list[int]:
    return slice(None) if subset is None else list(subset)
