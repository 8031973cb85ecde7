"""Cases of the rule that the scripted runs do not reach."""

import warnings

import numpy as np
import pytest

from mmseg_uvpt.correction.rule import LabelCorrectionRule, intersection_and_union
from mmseg_uvpt.correction.slope import relative_slope_change


def test_intersection_and_union_by_masks() -> None:
    rng = np.random.default_rng(0)
    prediction = rng.integers(0, 18, (37, 23), np.uint8)  # class 18 is never predicted
    label = rng.choice(np.array([*range(17), 255], np.uint8), (37, 23))  # 17 and 18 no label
    intersection, union = intersection_and_union(prediction, label, 19)
    for c in range(19):
        p, t = (prediction == c) & (label != 255), label == c
        assert intersection[c] == (p & t).sum()
        assert union[c] == (p | t).sum()
    assert union[18] == 0


def test_labels_are_corrected_from_the_second_epoch_on() -> None:
    """Iterations count from 0: the first epoch of five ends with number 4."""
    rule = LabelCorrectionRule(2, 5, interval=1, queue_length=1)
    assert [rule.is_past_first_epoch(iteration) for iteration in (0, 4, 5, 6)] == [0, 0, 1, 1]


@pytest.mark.parametrize('images', [1, 2, 3])
@pytest.mark.parametrize('epoch', [1, 7, 30])
@pytest.mark.parametrize(('interval', 'queue'), [(1, 1), (4, 9), (5, 20)])
def test_no_class_starts_earlier_than_it_can(images, epoch, interval, queue) -> None:
    """And at that iteration it does, if its curve is flat from the second point on."""
    rule = LabelCorrectionRule(2, epoch, interval, queue)
    rule._is_flat = lambda class_id: len(rule.curve) > 1
    label = np.zeros((2, 2), np.uint8)
    for iteration in range(100):
        for _ in range(images):
            rule.observe(label, label)
        if rule.is_due(iteration) and rule.decide(iteration, np.zeros(2)).started:
            break
    assert rule.earliest_start(images) == iteration


def test_slope_change_of_a_known_cubic() -> None:
    x = np.arange(1, 9)
    values = 0.5 - 0.001 * (x - 9.0) ** 2 + 0.0001 * (x - 9.0) ** 3
    slope = [-0.002 * (x - 9.0) + 0.0003 * (x - 9.0) ** 2 for x in (1 + 1e-6, 8 + 1e-6)]
    expected = abs(abs(slope[1]) - abs(slope[0])) / abs(slope[0])
    assert relative_slope_change(values) == pytest.approx(expected, rel=1e-6)


def test_slope_change_of_short_curves_is_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert np.isnan(relative_slope_change(np.array([])))
        for count in range(1, 6):
            assert relative_slope_change(np.linspace(0.2, 0.7, count)) >= 0


def test_slope_change_without_a_slope_at_the_beginning() -> None:
    assert np.isnan(relative_slope_change(np.zeros(6)))


def run_rule(curves: np.ndarray, **settings: object) -> tuple[LabelCorrectionRule, list]:
    """Feed a rule one image an iteration whose IoU is the given percentage of 100 pixels."""
    rule = LabelCorrectionRule(curves.shape[1], interval=1, queue_length=1, **settings)
    decisions = []
    for iteration, percentages in enumerate(curves):
        label = np.repeat(np.arange(curves.shape[1], dtype=np.uint8), 100).reshape(-1, 100)
        prediction = np.full_like(label, curves.shape[1] - 1)
        for c, percentage in enumerate(percentages):
            prediction[c, :percentage] = c
        absent = percentages < 0
        label[absent] = 255
        rule.observe(prediction, label)
        decisions.append(rule.decide(iteration, np.zeros(curves.shape[1])))
    return rule, decisions


def test_gaps_are_left_out_of_the_fit() -> None:
    """A curve with gaps behaves as the same points one after the other."""
    curve = np.round(80 - 75 * np.exp(-np.arange(20) / 5)).astype(int)
    places = np.sort(np.random.default_rng(0).choice(60, 20, replace=False))
    dense, sparse = np.full((20, 2), 50), np.full((60, 2), 50)
    dense[:, 0] = curve
    sparse[:, 0] = -1
    sparse[places, 0] = curve
    _, dense_decisions = run_rule(dense, epoch_length=1, slope=0.85)
    rule, sparse_decisions = run_rule(sparse, epoch_length=1, slope=0.85)
    starts = [i for i, d in enumerate(dense_decisions) if 0 in d.started]
    assert starts[0] > 5
    assert next(i for i, d in enumerate(sparse_decisions) if 0 in d.started) == places[starts[0]]
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(rule.curve[:, 0])), places)


def test_nothing_starts_in_the_first_epoch() -> None:
    curve = np.round(80 - 75 * np.exp(-np.arange(12) / 3)).astype(int)
    rule, decisions = run_rule(np.stack([curve, curve], axis=1), epoch_length=13, slope=0.0)
    assert not any(d.started for d in decisions)
    assert np.isnan(rule.thresholds).all()


def test_class_is_corrected_for_one_epoch() -> None:
    curve = np.round(80 - 75 * np.exp(-np.arange(20) / 3)).astype(int)
    _, decisions = run_rule(np.stack([curve, curve], axis=1), epoch_length=4, slope=0.5)
    start = next(i for i, d in enumerate(decisions) if 0 in d.started)
    stop = next(i for i, d in enumerate(decisions) if 0 in d.stopped)
    assert stop == start + 4


@pytest.fixture
def correcting() -> LabelCorrectionRule:
    rule = LabelCorrectionRule(3, epoch_length=1)
    rule.correcting[:] = [False, True, True]
    rule.thresholds[:] = [0.0, 0.5, 0.75]
    return rule


def test_confident_pixels_of_correcting_classes_change(correcting: LabelCorrectionRule) -> None:
    label = np.array([[1, 0, 255, 0, 0, 0]], np.uint8)
    prediction = np.array([[0, 1, 2, 2, 1, 0]], np.uint8)
    confidence = np.array([[0.9, 0.5, 0.75, 0.74, 0.49, 1]], np.float16)
    corrected = correcting.correct(label, prediction, confidence)
    np.testing.assert_array_equal(corrected, [[1, 1, 2, 0, 0, 0]])
    np.testing.assert_array_equal(label, [[1, 0, 255, 0, 0, 0]])  # the input is left alone


def test_image_without_a_correcting_class_is_left_alone(correcting: LabelCorrectionRule) -> None:
    label = np.array([[0, 255]], np.uint8)
    prediction = np.array([[1, 2]], np.uint8)
    assert correcting.correct(label, prediction, np.ones((1, 2), np.float16)) is None


def test_state_of_other_settings_is_refused() -> None:
    state = LabelCorrectionRule(3, epoch_length=1).state_dict()
    with pytest.raises(ValueError, match='epoch_length was 1 when the state was saved and is 2'):
        LabelCorrectionRule(3, epoch_length=2).load_state_dict(state)


@pytest.mark.parametrize(
    'change', [{'interval': 0}, {'queue_length': -1}, {'slope': 1.0}, {'num_classes': 2.5}]
)
def test_settings_out_of_range_are_refused(change: dict) -> None:
    settings = {'num_classes': 3, 'epoch_length': 1, **change}
    (name, value), *_ = change.items()
    with pytest.raises(ValueError, match=f'{name} must be .* not {value}'):
        LabelCorrectionRule(**settings)


def test_half_precision_is_compared_as_numbers() -> None:
    """Also with thresholds between two float16, and none at all."""
    rng = np.random.default_rng(0)
    correcting = LabelCorrectionRule(19, epoch_length=1)
    correcting.correcting[:] = True
    correcting.thresholds = rng.random(19).astype(np.float32)
    correcting.thresholds[3:6] = 0, 1, np.nan
    label, prediction = rng.integers(0, 19, (2, 200, 300), np.uint8)
    confidence = rng.random((200, 300)).astype(np.float16)
    confidence[:2] = [[0], [1]]
    above = np.nextafter(np.nan_to_num(correcting.thresholds), 1).astype(np.float16)
    confidence[2] = above[prediction[2]]
    found = correcting.correct(label, prediction, confidence)
    trusted = confidence.astype(np.float32) >= correcting.thresholds[prediction]
    np.testing.assert_array_equal(found, np.where(trusted, prediction, label))
    as_float32 = correcting.correct(label, prediction, confidence.astype(np.float32))
    np.testing.assert_array_equal(as_float32, found)
