"""Offline correction: beginnings against another computation, and the hook in real runs."""

import csv
from pathlib import Path

import numpy as np
import pytest

from mmseg_uvpt.correction.offline import (
    NEVER,
    OfflineCorrectionRule,
    RecordedCurve,
    begin_iterations,
    read_curve,
)
from mmseg_uvpt.errors import UserError

from .conftest import CLASSES

TABLE = 'label_correction_curve.csv'


def write_table(folder: Path, values: np.ndarray, interval: int = 100, first: int = 0) -> None:
    """Write the table of a curve (T, C) by hand; NaN is a gap."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TABLE).open('w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(['iteration', 'class', 'iou'])
        for t, point in enumerate(values):
            for name, value in zip(CLASSES, point, strict=True):
                if not np.isnan(value):
                    rows.writerow([first + t * interval, name, f'{value:.6f}'])


def begin_by_normal_equations(values: np.ndarray, interval: int) -> float:
    """Fit the cubic by its normal equations, in longer numbers; walk along its derivative."""
    x = np.arange(1, len(values) + 1, dtype=np.longdouble)
    powers = x[:, None] ** np.arange(4)
    left, right = powers.T @ powers, powers.T @ values.astype(np.longdouble)
    for i in range(4):  # Gauss and Jordan, since LAPACK has no such numbers
        right[i] /= left[i, i]
        left[i] /= left[i, i]
        for j in set(range(4)) - {i}:
            right[j] -= left[j, i] * right[i]
            left[j] -= left[j, i] * left[i]
    _, b, c, d = right

    def slope(at: float) -> float:
        at += 1e-6
        return abs(b + 2 * c * at + 3 * d * at**2)

    for number in range(1, len(values) + 1):
        if abs(slope(number) - slope(1)) / slope(1) > 0.9:
            return number * interval
    return np.inf


def curves(points: int = 24, number: int = 12) -> np.ndarray:
    """Return curves that rise and flatten, each at its own pace, with noise."""
    rng = np.random.default_rng(3)
    paces = rng.uniform(2, 60, number)
    rising = 0.8 - 0.6 * np.exp(-np.arange(points)[:, None] / paces)
    return rising + rng.normal(0, 0.01, rising.shape)


def test_beginnings_by_normal_equations():
    values = curves()
    found = begin_iterations(RecordedCurve(50, values))
    expected = [begin_by_normal_equations(curve, 50) for curve in values.T]
    np.testing.assert_array_equal(found, expected)
    assert {NEVER} < set(found)
    assert len(set(found)) > 3


def test_a_class_begins_at_the_place_of_its_point_in_the_record(tmp_path):
    """Read from a table: x times the interval of that table, gaps left out of the fit."""
    values = np.full((24, len(CLASSES)), np.nan)
    values[:, :2] = curves()[:, [0, 2]]
    values[::2, 2] = values[:12, 0]
    write_table(tmp_path, values, interval=70, first=210)
    curve = read_curve(tmp_path, CLASSES)
    assert curve.interval == 70
    np.testing.assert_allclose(curve.values, values, atol=1e-6)
    begins = begin_iterations(curve)
    expected = [begin_by_normal_equations(values[:, c], 70) for c in range(2)]
    assert begins[:2].tolist() == expected
    place = begin_by_normal_equations(values[:12, 0], 1)  # of twelve points, one in two
    assert begins[2] == (2 * place - 1) * 70
    assert begins[3] == NEVER


def test_pixels_above_the_confidence_take_the_prediction():
    """One pixel at a time; 0.8 itself is not above 0.8."""
    rule = OfflineCorrectionRule([40, NEVER, 20], epoch_length=10, interval=20)
    rng = np.random.default_rng(0)
    label = rng.choice(np.array([0, 1, 2, 255], np.uint8), (16, 16))
    prediction = rng.integers(0, 3, (16, 16)).astype(np.uint8)
    confidence = rng.choice(np.array([0.5, 0.8, 0.80001, 0.9], np.float32), (16, 16))
    started = {}
    for iteration in range(0, 61, 20):
        assert rule.is_due(iteration)
        assert rule.correct(label * 0 + 1, prediction, confidence) is None
        started[iteration] = rule.decide(iteration).started
        corrected = rule.correct(label, prediction, confidence)
        begun = {c for c, begin in enumerate([40, 1e9, 20]) if iteration >= begin}
        expected = label.copy()
        for pixel in np.ndindex(label.shape):
            differs = prediction[pixel] != label[pixel]
            if differs and int(prediction[pixel]) in begun and confidence[pixel] > 0.8:
                expected[pixel] = prediction[pixel]
        if begun:
            np.testing.assert_array_equal(corrected, expected)
        else:
            assert corrected is None
    assert started == {0: [], 20: [2], 40: [0], 60: []}
    halves = OfflineCorrectionRule([40, NEVER, 20], epoch_length=10, interval=20)
    halves.load_state_dict(rule.state_dict())
    assert halves.correcting.tolist() == [True, False, True]
    other = OfflineCorrectionRule([60, NEVER, 20], epoch_length=10, interval=20)
    with pytest.raises(ValueError, match='beginning of class 0 was 40'):
        other.load_state_dict(rule.state_dict())


OFFLINE = {'type': 'OfflineLabelCorrectionHook', 'confidence': 0.6}


def test_a_run_by_the_record_of_another(make_runner, target):
    """Classes start where the record says, stop never, and a resumed run goes on alike."""
    make_runner('online', 40).train()
    record = {**OFFLINE, 'record': str(target / 'online')}
    make_runner('whole', 30, **record).train()
    curve = read_curve(target / 'online', CLASSES)
    assert curve.interval == 2
    begins = {
        CLASSES[c]: begin_by_normal_equations(curve.values[:, c], 2) for c in range(len(CLASSES))
    }
    with (target / 'whole/label_correction.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    events = {row['class']: int(row['iteration']) for row in rows if row['event'] == 'start'}
    assert events == {name: n for name, n in begins.items() if n < 30}
    assert events
    assert {row['event'] for row in rows} == {'start', '', 'end'}
    assert sum(int(row['pixels_changed']) for row in rows) > 0
    changing = {row['class'] for row in rows if row['pixels_changed'] != '0'}
    assert changing <= set(events)

    make_runner('halves', 16, **record).train()
    make_runner('halves', 30, resume=True, **record).train()
    for name in ('label_bank/labels.u8', 'label_correction.csv', TABLE):
        whole, halves = ((target / run / name).read_bytes() for run in ('whole', 'halves'))
        assert whole == halves, name


def test_records_that_do_not_serve(make_runner, target):
    """Each is refused before a label bank is made, with the command that makes one."""
    told = r'record one with online correction first: python train\.py CONFIG --work-dir RECORD'
    other = np.full((3, len(CLASSES)), 0.5)
    write_table(target / 'other', other)
    table = target / 'other' / TABLE
    table.write_text(table.read_text().replace('car', 'boat'))
    write_table(target / 'short', other[:1])
    write_table(target / 'odd', 3 * other)
    for run, reason in (
        (None, 'needs the record of an earlier run'),
        ('nowhere', f'nowhere/{TABLE} does not exist'),
        ('other', f"other/{TABLE} is of other classes: 'boat' is none of road, car"),
        ('short', f'short/{TABLE} has 1 points'),
        ('odd', f'odd/{TABLE} is no table of iteration, class, iou .*an IoU of 1.5'),
    ):
        record = run and str(target / run)
        with pytest.raises(UserError, match=rf'{reason}.*{told}'):
            make_runner(f'work-{run}', 4, **OFFLINE, record=record).train()
        assert not (target / f'work-{run}/label_bank').exists()
