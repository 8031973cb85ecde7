"""Bootstrap over images against resamples that are drawn and counted one by one."""

import numpy as np
import pytest

from mmseg_uvpt.evaluation import bootstrap
from mmseg_uvpt.evaluation.bootstrap import (
    ImageCounts,
    mean_iou_difference_interval,
    mean_iou_interval,
)

# By tables of Student's t: 2.201 of 11 degrees of freedom, 2.262 of 9, 2.776 of 4; beyond it, times
# sqrt(12 / 11), sqrt(10 / 9) and sqrt(5 / 4), lies so much of the normal distribution, in percent.
TAILS = {12: (1.08, 98.92), 10: (0.86, 99.14), 5: (0.10, 99.90)}


def confusions(images, classes=4, right=0.6, seed=0):
    """Return a confusion matrix an image; the truth is that of the seed, whatever is right."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, classes, (images, 200))
    noise, kept = draw.integers(0, classes, truth.shape), draw.random(truth.shape)
    predicted = np.where(kept < right, truth, noise)
    return counted(truth, predicted, classes)


def counted(truth, predicted, classes):
    """Return a confusion matrix an image (row)."""
    codes = truth * classes + predicted
    counts = [np.bincount(c, minlength=classes**2).reshape(classes, classes) for c in codes]
    return np.array(counts)


def pooled_mean(matrices, subset):
    """Return the mean IoU of images that are added up, one class at a time."""
    total = matrices.sum(0)
    found = []
    for i in subset:
        if total[i].sum():
            found.append(total[i, i] / (total[i].sum() + total[:, i].sum() - total[i, i]))
    return sum(found) / len(found) if found else np.nan


def drawn(images, resamples=1000):
    draw = np.random.default_rng(5)
    return [draw.integers(images, size=images) for _ in range(resamples)]


def test_an_interval_is_that_of_resamples_drawn_one_by_one():
    matrices = confusions(12)
    matrices[5:, 2] = 0  # a rare class: some resamples have none of its five images
    for subset, images in (([0, 1, 2, 3], 12), ([2], 5), ([0, 2], 12)):
        found = mean_iou_interval(ImageCounts.of(matrices), subset)
        values = [pooled_mean(matrices[chosen], subset) for chosen in drawn(12)]
        assert found == pytest.approx(np.nanpercentile(values, TAILS[images]).tolist(), abs=0.04)
    assert mean_iou_interval(ImageCounts.of(matrices)) == mean_iou_interval(
        ImageCounts.of(matrices), range(4)
    )


def test_a_difference_is_paired():
    """Two models that are alike on each image, on images that are not."""
    sharp, blunt = confusions(10, right=0.9), confusions(10, right=0.3)
    first = np.concatenate([sharp[:5], blunt[5:]])
    second = np.concatenate([confusions(10, right=0.93)[:5], confusions(10, right=0.33)[5:]])
    one, other = ImageCounts.of(first), ImageCounts.of(second)
    found = mean_iou_difference_interval(other, one)
    values = [
        pooled_mean(second[chosen], range(4)) - pooled_mean(first[chosen], range(4))
        for chosen in drawn(10)
    ]
    assert found == pytest.approx(np.percentile(values, TAILS[10]).tolist(), abs=0.003)
    assert 0 < found.low < found.high < 0.1
    alone = mean_iou_interval(one)
    assert alone.high - alone.low > 3 * (found.high - found.low)
    turned = mean_iou_difference_interval(one, other)
    assert turned == pytest.approx((-found.high, -found.low))
    assert mean_iou_difference_interval(one, one) == (0, 0)


def test_pixels_are_pooled_and_a_large_image_counts_more():
    """One image of a million pixels is wrong, nine small ones are right."""
    matrices = np.zeros((10, 2, 2), np.int64)
    matrices[:, 0, 0] = 10
    matrices[0, 0] = (0, 10**6)
    low, high = mean_iou_interval(ImageCounts.of(matrices), [0])
    assert low < 1e-4  # a mean of the images' own IoU would be above 0.5
    assert high == 1  # without the large one


def test_few_images():
    counts = ImageCounts.of(confusions(1))
    assert mean_iou_interval(counts) is mean_iou_difference_interval(counts, counts) is None
    matrices = confusions(5)
    assert mean_iou_interval(ImageCounts.of(matrices)) is not None
    assert mean_iou_interval(ImageCounts.of(matrices[:4])) is None
    matrices[0, 3] = 0  # four images alone have the class
    counts = ImageCounts.of(matrices)
    assert mean_iou_interval(counts, [3]) is None
    assert mean_iou_interval(counts, [0, 3]) is not None


def test_few_images_seldom_call_one_of_two_equal_models_better():
    """As with four images, of which one in eight does."""
    draw, called = np.random.default_rng(4), 0
    for _ in range(200):
        truth, pair = draw.integers(0, 3, (5, 100)), []
        for _ in range(2):
            right = draw.random(truth.shape) < draw.uniform(0.3, 0.9, (5, 1))
            predicted = np.where(right, truth, draw.integers(0, 3, truth.shape))
            pair.append(ImageCounts.of(counted(truth, predicted, 3)))
        low, high = mean_iou_difference_interval(*pair)
        called += not low <= 0 <= high
    assert called <= 0.1 * 200


def test_a_class_of_few_images_seldom_calls_one_of_two_equal_models_better():
    """However many images there are without it."""
    draw, called = np.random.default_rng(4), 0
    for _ in range(100):
        truth, pair = np.zeros((60, 50), int), []
        truth[:5] = draw.integers(0, 2, (5, 50))
        for _ in range(2):
            right = draw.random(truth.shape) < draw.uniform(0.3, 0.9, (60, 1))
            pair.append(ImageCounts.of(counted(truth, np.where(right | (truth == 0), truth, 0), 2)))
        low, high = mean_iou_difference_interval(*pair, [1])
        called += not low <= 0 <= high
    assert called <= 0.08 * 100


def test_few_images_hold_what_all_would_give():
    """As many intervals as said, or nearly so, hold the score of the images all are drawn from."""
    easy, hard = confusions(500, right=0.9), confusions(500, right=0.2)
    everything = np.concatenate([easy, hard])
    score, draw = pooled_mean(everything, range(4)), np.random.default_rng(3)
    samples = [ImageCounts.of(everything[draw.integers(1000, size=6)]) for _ in range(150)]
    found = [mean_iou_interval(counts) for counts in samples]
    held = np.mean([low <= score <= high for low, high in found])
    plain = [np.percentile(np.nanmean(c.resampled_iou, axis=1), [2.5, 97.5]) for c in samples]
    assert held >= 0.93 > 0.9 > np.mean([low <= score <= high for low, high in plain])


def test_intervals_repeat_and_leave_random_states_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = [mean_iou_interval(ImageCounts.of(confusions(6))) for _ in range(2)]
    assert found[0] == found[1]
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_blocks_of_resamples_are_those_drawn_at_once(monkeypatch):
    counts = [ImageCounts.of(confusions(6)) for _ in range(2)]
    expected = counts[0].resampled_iou
    monkeypatch.setattr(bootstrap, '_BLOCK', bootstrap.RESAMPLES)
    np.testing.assert_array_equal(counts[1].resampled_iou, expected)
    assert expected.shape == (2000, 4)


def test_other_images_are_no_baseline():
    with pytest.raises(ValueError, match='not of the same images'):
        mean_iou_difference_interval(
            ImageCounts.of(confusions(3)), ImageCounts.of(confusions(3, seed=1))
        )
