"""Calibration error, coverage and temperature, against slow computations and known answers."""

import json

import numpy as np
import pytest
import torch

from mmseg_uvpt.evaluation.calibration import (
    Calibration,
    ConfidenceBins,
    FrameCalibration,
    fitted_temperature,
)
from mmseg_uvpt.evaluation.calibration_metric import CalibrationMetric


def slow_ece(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Return the definition of Guo et al., pixel by pixel."""
    error = 0.0
    for low in np.arange(bins) / bins:
        held = [(c, r) for c, r in zip(confidence, right, strict=True) if low <= c < low + 1 / bins]
        if held:
            error += abs(sum(r for _, r in held) - sum(c for c, _ in held))
    return error / len(confidence)


@pytest.fixture
def pixels():
    """Random confidences, and whether they are right: more often than they say."""
    random = np.random.default_rng(0)
    confidence = random.uniform(1 / 19, 1, 5000).astype(np.float32)
    return confidence, random.random(5000) < confidence**0.5


def bins_of(confidence, right) -> ConfidenceBins:
    return ConfidenceBins.of(torch.as_tensor(confidence), torch.as_tensor(right))


def test_error_is_that_of_the_definition(pixels):
    found = bins_of(*pixels)
    assert found.ece == pytest.approx(slow_ece(*pixels), abs=1e-6)
    assert found.ece > 0.1
    halves = [bins_of(*(each[part] for each in pixels)) for part in (slice(900), slice(900, None))]
    assert ConfidenceBins.added(halves).ece == pytest.approx(found.ece)


def test_coverage_is_the_share_that_predict_would_keep(pixels):
    confidence, right = pixels
    for row in bins_of(*pixels).coverage():
        kept = confidence >= row['confidence']
        assert row['coverage'] == pytest.approx(kept.mean(), abs=1e-9)
        assert row['accuracy'] == pytest.approx(right[kept].mean(), abs=1e-9)


def test_extremes():
    assert bins_of([0.75] * 4, [True, True, True, False]).ece == 0
    assert bins_of([1.0] * 4, [False] * 4).ece == 1
    empty = Calibration([FrameCalibration.of(torch.zeros(3, 4, 4), torch.full((4, 4), 255))] * 2)
    told = json.loads(json.dumps(empty.to_json(), allow_nan=False))
    assert told['ece'] is told['temperature'] is told['ece_with_temperature'] is None
    assert empty.line().startswith('expected calibration error -;')


def drawn(temperature: float, number: int = 60_000, classes: int = 5) -> tuple:
    """Return logits, and classes drawn from their softmax at a temperature."""
    torch.manual_seed(0)
    logits = 3 * torch.randn(number, classes)
    return logits, (logits / temperature).softmax(1).multinomial(1)[:, 0]


@pytest.mark.parametrize('temperature', [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature):
    assert fitted_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_temperatures_have_bounds():
    logits, _ = drawn(1.0, 100)
    assert fitted_temperature(logits, logits.argmax(1)) == pytest.approx(0.05, rel=1e-5)
    assert fitted_temperature(logits, logits.argmin(1)) == pytest.approx(20, rel=1e-5)
    logits[:, 0] = -torch.inf
    assert 0.05 <= fitted_temperature(logits, torch.arange(100) % 5) <= 20


def frame_of(logits, truth, height: int = 100) -> FrameCalibration:
    return FrameCalibration.of(logits.T.reshape(5, height, -1), truth.reshape(height, -1))


def test_temperature_is_fitted_on_one_half_and_judged_on_the_other():
    """Also where it was not 1 before."""
    frames = [frame_of(*(x[i::6] for x in drawn(2.5))) for i in range(6)]
    found = Calibration(frames).to_json()
    assert found['temperature'] == pytest.approx(2.5, rel=0.05)
    assert found['ece_with_temperature'] < 0.02 < 0.1 < found['ece_of_second_half']
    assert found['ece'] == pytest.approx(found['ece_of_second_half'], abs=0.02)
    logits, truth = drawn(2.5)
    wrong = frame_of(logits[:1000], (truth[:1000] + 1) % 5)
    other = Calibration([*frames[:3], *[wrong] * 3]).to_json()
    assert other['temperature'] == found['temperature']
    assert other['ece_with_temperature'] > 0.2
    again = Calibration([frame_of(logits / 2, truth)] * 2, used=2.0)
    assert again.temperature == pytest.approx(2.5, rel=0.05)
    hopeless = Calibration([frame_of(logits, (truth + 1) % 5)] * 2, used=15.0)
    assert hopeless.temperature == 20  # a config is refused with more
    assert hopeless.to_json()['ece_with_temperature'] == hopeless.second_half(20 / 15)


def test_unlabelled_pixels_count_nowhere():
    logits, truth = drawn(1.0, 1000)
    half = truth.clone()
    half[500:] = 255
    alone = frame_of(logits[:500], truth[:500], 50)
    np.testing.assert_allclose(frame_of(logits, half).bins.sums, alone.bins.sums)
    torch.testing.assert_close(frame_of(logits, half).truth, alone.truth)


def test_the_line_says_how_many_are_sure_and_how_many_of_them_right():
    """Of ten pixels five have a confidence of 0.7, of which four are right."""
    sure, unsure = torch.tensor([0.7, 0.3]).log(), torch.tensor([0.55, 0.45]).log()
    logits = torch.stack([sure] * 5 + [unsure] * 5, 1).view(2, 1, 10)
    truth = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1, 1]])
    found = Calibration([FrameCalibration.of(logits, truth, 255)], 1.0)
    line = '50.0 % of the pixels have a confidence of 0.6 or more, 80.0 % of them are right'
    assert line in found.line()
    error = 0.5 * abs(0.7 - 0.8) + 0.5 * abs(0.55 - 0.0)
    metric = CalibrationMetric()
    samples = {'gt_sem_seg': {'data': truth[None]}, 'full_logits': lambda: logits}
    metric.process({}, [samples])
    assert metric.evaluate(1) == {'ECE': pytest.approx(100 * error)}
    assert CalibrationMetric(0.5).temperature == 0.5
