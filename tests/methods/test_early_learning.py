"""Early-learning regularisation by another computation, a cell at a time."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_uvpt.methods.early_learning import EarlyLearning
from mmseg_uvpt.models.segmentors.adaptation import Views

CLASSES, HEIGHT, WIDTH = 3, 10, 8  # the cells of the last row are of two rows of pixels


@pytest.fixture
def method():
    """The method without a network, which its loss does not need."""
    method = EarlyLearning.__new__(EarlyLearning)
    torch.nn.Module.__init__(method)
    method.weight, method.momentum = 3.0, 0.7
    return method


def views_of(logits: np.ndarray, labels: np.ndarray, averages: list[np.ndarray]) -> Views:
    samples = []
    for average in averages:
        sample = SegDataSample()
        sample.moving_average = PixelData(data=torch.tensor(average))
        samples.append(sample)
    given = torch.tensor(logits, requires_grad=True)
    no = SimpleNamespace()
    return Views(0, no, None, torch.tensor(labels), None, [given], [], [], no, samples)


def expected_of(logits, labels, averages) -> tuple[float, dict[tuple, list[float]]]:
    """Return the regulariser, and t of each cell."""
    logarithms, kept = [], {}
    for b, row, column in np.ndindex(len(logits), math.ceil(HEIGHT / 4), math.ceil(WIDTH / 4)):
        pixels = [
            (y, x)
            for y in range(4 * row, min(4 * row + 4, HEIGHT))
            for x in range(4 * column, min(4 * column + 4, WIDTH))
        ]
        p = [0.0] * CLASSES
        for y, x in pixels:
            powers = [math.exp(v) for v in logits[b, :, y, x]]
            p = [old + v / sum(powers) / len(pixels) for old, v in zip(p, powers, strict=True)]
        p = [min(max(v, 1e-4), 1 - 1e-4) for v in p]
        now = [v / sum(p) for v in p]
        before = averages[b][:, row, column]
        t = (
            [0.7 * old + 0.3 * v for old, v in zip(before, now, strict=True)]
            if any(before)
            else now
        )
        kept[b, row, column] = t
        if any(labels[b, y, x] != 255 for y, x in pixels):
            logarithms.append(math.log(1 - sum(a * c for a, c in zip(p, t, strict=True))))
    return sum(logarithms) / len(logarithms), kept


def test_loss_and_averages(method):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (2, CLASSES, HEIGHT, WIDTH))
    labels = random.choice([0, 1, 2, 255], (2, HEIGHT, WIDTH))
    labels[0, :4, :4] = 255  # a cell without a label
    averages = random.uniform(0.1, 1, (2, CLASSES, 3, 2))
    averages /= averages.sum(1, keepdims=True)
    averages[1, :, 1:] = 0  # seen for the first time
    views = views_of(logits, labels, list(averages))
    losses = method.loss_by_views(views)
    regulariser, kept = expected_of(logits, labels, averages)
    assert losses['loss_early_learning'].item() == pytest.approx(3 * regulariser)
    for (b, row, column), t in kept.items():
        assert method.last_averages[b, :, row, column].tolist() == pytest.approx(t)
    assert not method.last_averages.requires_grad
    labelled = labels != 255
    picked = torch.tensor(logits).log_softmax(1).numpy()
    b, y, x = np.nonzero(labelled)
    cross_entropy = -picked[b, labels[labelled], y, x].mean()
    assert losses['loss_self_training'].item() == pytest.approx(cross_entropy)
    losses['loss_early_learning'].backward()
    assert views.logits[0].grad.abs().sum() > 0


def test_certainty_that_float16_rounds_up_stays_finite(method):
    """What is kept may sum up to more than 1 there; p and t of one class alone."""
    logits = np.zeros((1, CLASSES, 4, 4))
    logits[:, 0] = 100
    before = np.array([1, 1e-4, 1e-4], np.float16).reshape(CLASSES, 1, 1)
    losses = method.loss_by_views(views_of(logits, np.zeros((1, 4, 4), int), [before]))
    assert losses['loss_early_learning'].item() == pytest.approx(3 * math.log(2e-4), rel=0.2)


def test_image_that_is_padded(method):
    """Its averages are smaller; the cells beyond are new, and without labels."""
    random = np.random.default_rng(1)
    logits = random.normal(size=(2, CLASSES, HEIGHT, WIDTH))
    labels = np.zeros((2, HEIGHT, WIDTH), int)
    labels[1, 4:] = 255
    whole, small = (random.uniform(0.3, 0.4, (CLASSES, rows, 2)) for rows in (3, 1))
    whole, small = (array / array.sum(0) for array in (whole, small))
    losses = method.loss_by_views(views_of(logits, labels, [whole, small]))
    padded = np.concatenate([small, np.zeros((CLASSES, 2, 2))], 1)
    regulariser, _ = expected_of(logits, labels, [whole, padded])
    assert losses['loss_early_learning'].item() == pytest.approx(3 * regulariser)


def test_without_its_hook_it_says_so(method):
    views = views_of(np.zeros((1, 3, 4, 4)), np.zeros((1, 4, 4), int), [])
    views = views._replace(samples=[SegDataSample()])
    with pytest.raises(ValueError, match=r'label_correction\.type=EarlyLearningHook'):
        method.loss_by_views(views)
