"""The bank taken back to a checkpoint: from any later state, also after a kill in between."""

import numpy as np
import pytest

from mmseg_uvpt.correction.label_bank import Box, LabelBank

from .test_bank import IDENTITY, SIZES, make_kept, make_labels


@pytest.fixture
def bank(tmp_path) -> LabelBank:
    return LabelBank.create(
        tmp_path / 'bank', IDENTITY, SIZES, make_labels(np.random.default_rng(0))
    )


def change(bank: LabelBank, iteration: int) -> None:
    """Do as an iteration does: correct an image in part, then keep a prediction of it."""
    rng = np.random.default_rng(iteration)
    i = int(rng.integers(3))
    box = make_kept(rng, i).box
    bank.write_label(i, box, rng.integers(0, 5, box.size, np.uint8))
    bank.keep(i, iteration, make_kept(rng, i))


def contents(bank: LabelBank) -> list:
    """Return all that can be read: labels, what is kept, and the confidences' quantiles."""
    frames = range(len(SIZES))
    labels = [bank.read_label(i, Box(0, SIZES[i][0], 0, SIZES[i][1])).tolist() for i in frames]
    kept = [bank.kept(i) for i in frames]
    kept = [k and (k.box, k.prediction.tolist(), k.confidence.tolist()) for k in kept]
    return [labels, kept, bank.thresholds(0.8).tolist(), bank.iteration]


@pytest.fixture
def checkpoints(bank) -> dict:
    """Contents at checkpoints after 3, 8 and 12 of 15 iterations; the bank is closed."""
    found = {}
    for iteration in range(15):
        if iteration in (3, 8, 12):
            bank.undo.begin(iteration)
            found[iteration] = contents(bank)
        change(bank, iteration)
    bank.close()
    return found


@pytest.mark.parametrize('iterations', [8, 12])
def test_back_to_a_checkpoint(bank, checkpoints, iterations):
    back = LabelBank(bank.folder, IDENTITY, iterations)
    assert back.taken_back
    assert contents(back) == checkpoints[iterations]
    back.close()
    again = LabelBank(bank.folder, IDENTITY, iterations)  # its log is gone, and nothing changed
    assert contents(again) == checkpoints[iterations]


def test_only_the_last_two_are_remembered(bank, checkpoints):
    assert sorted(path.name for path in bank.folder.glob('undo.*')) == ['undo.12', 'undo.8']
    assert not LabelBank(bank.folder, IDENTITY, 3).taken_back


def test_half_a_record_at_the_end_is_left_alone(bank, checkpoints):
    """Cut off by a kill: what it is about had not been changed yet."""
    log = bank.folder / 'undo.12'
    log.write_bytes(log.read_bytes() + log.read_bytes()[:30])
    assert contents(LabelBank(bank.folder, IDENTITY, 12)) == checkpoints[12]


def test_killed_while_it_is_taken_back(bank, checkpoints, monkeypatch):
    unlink, done = type(bank.folder).unlink, []

    def unlink_once(path):
        if done:
            raise KeyboardInterrupt
        done.append(path.name)
        unlink(path)

    monkeypatch.setattr(type(bank.folder), 'unlink', unlink_once)
    with pytest.raises(KeyboardInterrupt):
        LabelBank(bank.folder, IDENTITY, 8)
    monkeypatch.undo()
    assert done == ['undo.12']
    back = LabelBank(bank.folder, IDENTITY, 8)
    assert back.taken_back
    assert contents(back) == checkpoints[8]


def test_a_log_holds_each_part_once(bank):
    bank.undo.begin(0)
    for iteration in range(60):
        change(bank, iteration)
    size = (bank.folder / 'undo.0').stat().st_size
    assert size < 1.2 * sum(bank.layout.file_bytes.values())
    bank.undo.clear()
    assert not list(bank.folder.glob('undo.*'))
