"""Counting must give what sorting gives."""

import numpy as np
import pytest

from mmseg_uvpt.correction.thresholds import ConfidenceHistogram, class_quantiles


@pytest.mark.parametrize('quantile', [0.0, 0.3, 0.8, 1.0])
def test_histogram_agrees_with_sort(quantile: float) -> None:
    """Images are added, replaced and taken away; classes are rare, frequent and absent."""
    rng = np.random.default_rng(0)
    histogram = ConfidenceHistogram(6)
    images = {}
    for _ in range(30):
        i = int(rng.integers(8))
        if i in images:
            histogram.remove(*images.pop(i))
        if rng.random() < 0.8:
            shape = tuple(rng.integers(1, 12, 2))
            prediction = rng.choice(5, shape, p=[0.6, 0.3, 0.08, 0.02, 0]).astype(np.uint8)
            confidence = rng.beta(4, 1, shape).astype(np.float16)
            confidence[rng.random(shape) < 0.1] = rng.choice([0, 1, 0.5, 6e-8])
            images[i] = prediction, confidence
            histogram.add(prediction, confidence)
        everything = [np.concatenate([v[j].ravel() for v in images.values()]) for j in (0, 1)]
        expected = class_quantiles(*everything, 6, quantile)
        np.testing.assert_array_equal(histogram.quantiles(quantile), expected)
    assert len(images) > 3


@pytest.mark.parametrize(
    ('count', 'quantile', 'element'),
    [
        (1, 0.8, 0),
        (2, 0.8, 1),
        (5, 0.8, 4),
        (10, 0.8, 8),
        (4, 0.3, 1),
        (3, 0.0, 0),
        (7, 1.0, 6),
        (7, 0.8, 6),
    ],
)
def test_element_of_the_sorted_list(count: int, quantile: float, element: int) -> None:
    """Element round(q n) counted from 0, the last one if that is past the end."""
    confidence = (np.arange(count, 0, -1) / 16).astype(np.float16)
    prediction = np.zeros(count, np.uint8)
    expected = (element + 1) / 16
    assert class_quantiles(prediction, confidence, 1, quantile)[0] == expected
    histogram = ConfidenceHistogram(1)
    histogram.add(prediction, confidence)
    assert histogram.quantiles(quantile)[0] == expected


@pytest.mark.parametrize('value', [float('nan'), 1.001, -0.5, float('inf')])
def test_confidence_out_of_range_is_refused(value: float) -> None:
    confidence = np.array([0.5, value], np.float16)
    with pytest.raises(ValueError, match=r'confidences must be in 0\.\.1'):
        ConfidenceHistogram(2).add(np.zeros(2, np.uint8), confidence)


def test_class_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r'classes below 2, not .* and 2'):
        ConfidenceHistogram(2).add(np.array([2], np.uint8), np.array([0.5], np.float16))
