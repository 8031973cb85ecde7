"""Counts, IoU and means against direct counts with one mask a class."""

import numpy as np
import pytest
import torch

from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.evaluation.class_subsets import class_subsets
from mmseg_uvpt.evaluation.iou import confusion_matrix, iou_from_counts, mean_iou
from mmseg_uvpt.evaluation.score import Score

CITYSCAPES = [
    *('road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign'),
    *('vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train'),
    *('motorcycle', 'bicycle'),
]


def random_labels(seed: int, size: tuple[int, int], num_classes: int = 19):
    """Return a prediction and a truth that agree in most places, with some ignored pixels."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, num_classes, size)
    prediction = np.where(draw.random(size) < 0.3, draw.integers(0, num_classes, size), truth)
    truth[draw.random(size) < 0.1] = 255
    return torch.from_numpy(prediction), torch.from_numpy(truth)


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (64, 33)])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.int32, torch.int64])
def test_counts_equal_masks(size, dtype):
    prediction, truth = (label.to(dtype) for label in random_labels(0, size))
    counts = confusion_matrix(prediction, truth, 19)
    assert counts.dtype == np.int64
    for t in range(19):
        for p in range(19):
            assert counts[t, p] == ((truth == t) & (prediction == p)).sum().item()


def test_ignored_pixels_count_nowhere_whatever_is_predicted_there():
    prediction = torch.tensor([[0, 1, 2]])
    truth = torch.tensor([[255, 1, 255]])
    counts = confusion_matrix(prediction, truth, 3)
    assert counts.sum() == counts[1, 1] == 1
    assert confusion_matrix(prediction, torch.full((1, 3), 255), 3).sum() == 0


@pytest.mark.parametrize(
    ('prediction', 'truth', 'message'),
    [
        ([[0, 1]], [[0, 34]], 'ground truth has values 34; only 0..18 and 255'),
        ([[0, 1]], [[0, -1]], 'ground truth has values -1;'),
        ([[0, 19]], [[0, 1]], 'prediction has values 19; only 0..18 are allowed'),
        ([[0, 1]], [[0]], 'the prediction is 1 x 2, the ground truth is 1 x 1'),
        ([list(range(20, 28))], [[0] * 8], 'has values 20, 21, 22, 23, 24, ...;'),
    ],
)
def test_wrong_input_is_named(prediction, truth, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(torch.tensor(prediction), torch.tensor(truth), 19)


def test_iou_of_a_class_that_is_absent_is_nan_even_where_it_is_predicted():
    iou = iou_from_counts(
        np.array([3, 0, 0, 0]), np.array([4, 5, 2, 0]), np.array([True, True, False, False])
    )
    np.testing.assert_array_equal(iou, [0.75, 0, np.nan, np.nan])


def test_mean_is_over_the_present_classes_of_the_subset():
    iou, present = np.array([0.2, 0.4, np.nan, 0.9]), np.array([True, True, False, True])
    assert mean_iou(iou, present, [0, 1, 2]) == pytest.approx(0.3)
    assert mean_iou(iou, present, [3]) == 0.9
    assert np.isnan(mean_iou(iou, present, [2]))


def test_subsets_are_the_published_ones():
    subsets = class_subsets(CITYSCAPES)
    names = {size: {CITYSCAPES[i] for i in ids} for size, ids in subsets.items()}
    assert {size: len(ids) for size, ids in subsets.items()} == {19: 19, 16: 16, 13: 13}
    assert names[19] - names[16] == {'terrain', 'truck', 'train'}
    assert names[16] - names[13] == {'wall', 'fence', 'pole'}


@pytest.mark.parametrize('classes', [CITYSCAPES[:18], [str(i) for i in range(19)]])
def test_other_classes_have_one_mean_over_all(classes):
    assert class_subsets(classes) == {len(classes): list(range(len(classes)))}
    confusion = np.diag(np.arange(1, 1 + len(classes)))
    score = Score(classes, ImageCounts.of([confusion]))
    assert score.metrics()['mIoU'] == score.metrics()[f'mIoU{len(classes)}'] == 100
    assert score.to_json()['mIoU'] == 100
    assert f'IoU ({len(classes)})' in score.table()


@pytest.mark.gpu
def test_counts_on_the_gpu_equal_those_on_the_cpu():
    prediction, truth = random_labels(0, (512, 1024))
    on_cpu = confusion_matrix(prediction, truth, 19)
    np.testing.assert_array_equal(confusion_matrix(prediction.cuda(), truth, 19), on_cpu)
