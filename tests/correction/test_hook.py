"""The hook in real training runs: the bank against the log, resume, and what it refuses."""

import csv
import logging
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_uvpt.correction import hook as hook_module
from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.correction.label_bank import Box, LabelBank
from mmseg_uvpt.correction.truth import Comparison
from mmseg_uvpt.errors import UserError

from .conftest import CLASSES, CROP, FRAME_SIZES

ITERATIONS = 30
BATCH = 2
EPOCH = 3  # five images in batches of two


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def hook_of(runner) -> LabelCorrectionHook:
    return next(h for h in runner.hooks if isinstance(h, LabelCorrectionHook))


def all_labels(folder: Path) -> list[np.ndarray]:
    """Read the labels of a bank file without the bank's code."""
    flat = np.fromfile(folder / 'label_bank' / 'labels.u8', np.uint8)
    labels = []
    for size in resized_sizes():
        labels.append(flat[: size[0] * size[1]].reshape(size))
        flat = flat[size[0] * size[1] :]
    assert flat.size == 0
    return labels


def resized_sizes() -> list[tuple[int, int]]:
    """Sizes within 64 x 48 (or 48 x 64) with the same aspect ratio, frames sorted by path."""
    sizes = []
    for _, (h, w) in sorted(FRAME_SIZES.items()):
        scale = min(64 / max(h, w), 48 / min(h, w))
        sizes.append((int(h * scale + 0.5), int(w * scale + 0.5)))
    return sizes


def nearest(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest resize as OpenCV does it: the pixel whose area the target's corner falls into."""
    rows, columns = (
        np.minimum((np.arange(n) * (o / n)).astype(int), o - 1)
        for n, o in zip(size, label.shape, strict=True)
    )
    return label[rows][:, columns]


def quantile_of_kept(kept: dict, c: int) -> np.float16:
    values = sorted(v for _, p, q in kept.values() for v in np.float16(q[p == c]).tolist())
    return np.float16(values[min(round(0.6 * len(values)), len(values) - 1)])


def test_bank_agrees_with_log(make_runner, target: Path) -> None:
    """Replay the whole run from the tables alone, by another implementation of step 3."""
    runner = make_runner('run', ITERATIONS, truth_dir=str(target / 'truth'))
    runner.train()
    rows = read_table(target / 'run' / 'label_correction.csv')
    names = sorted((target / 'pseudo').glob('*/*.png'))
    labels = [
        nearest(np.array(Image.open(path)), size)
        for path, size in zip(names, resized_sizes(), strict=True)
    ]
    first = [label.copy() for label in labels]
    kept, correcting, changed = {}, {}, Counter()
    flips, small, decided = Counter(), 0, 0
    for iteration, batch in enumerate(runner.model.seen):
        for meta, given, _, _ in batch:
            i = meta['sample_idx']
            if iteration >= EPOCH and i in kept:
                (top, bottom, left, right), prediction, confidence = kept[i]
                part = labels[i][top:bottom, left:right]
                if set(np.unique(part).tolist()) & set(correcting):
                    for y, x in np.ndindex(part.shape):
                        c = int(prediction[y, x])
                        if c in correcting and np.float16(confidence[y, x]) >= correcting[c]:
                            changed[CLASSES[c]] += int(part[y, x] != c)
                            part[y, x] = c
            top, bottom, left, right = meta['crop_box']
            expected = labels[i][top:bottom, left:right]
            height, width = expected.shape
            flips[meta['flip']] += 1
            small += (height, width) != (CROP, CROP)
            if meta['flip']:
                expected = np.fliplr(expected)
            np.testing.assert_array_equal(given[:height, :width], expected)
            assert (given[height:] == 255).all()
            assert (given[:, width:] == 255).all()
        for meta, _, prediction, confidence in batch:
            top, bottom, left, right = meta['crop_box']
            cut = [a[: bottom - top, : right - left] for a in (prediction, confidence)]
            if meta['flip']:
                cut = [np.fliplr(a) for a in cut]
            kept[meta['sample_idx']] = meta['crop_box'], *cut
        for row in (r for r in rows if int(r['iteration']) == iteration):
            decided += 1
            c = CLASSES.index(row['class'])
            assert int(row['pixels_changed']) == changed.pop(row['class'], 0)
            if row['event'] == 'stop':
                correcting.pop(c)
            elif row['event'] != 'end' and (row['event'] or c in correcting):
                # six digits are enough to tell one float16 from the next
                correcting[c] = np.float16(row['threshold'])
                assert correcting[c] == quantile_of_kept(kept, c)
        if iteration % 2 == 0:
            assert not changed, f'pixels changed without a row at iteration {iteration}'
    for got, expected in zip(all_labels(target / 'run'), labels, strict=True):
        np.testing.assert_array_equal(got, expected)

    check_truth(target, first, labels)
    assert any((a != b).any() for a, b in zip(first, labels, strict=True))
    assert {'start', 'stop'} <= {row['event'] for row in rows}
    assert decided == len(rows)
    assert min(flips[True], flips[False], small) > 0


def check_truth(target: Path, first: list[np.ndarray], last: list[np.ndarray]) -> None:
    """Count again what became of the labels."""
    files = sorted((target / 'truth').glob('*/*.png'))
    truth = np.concatenate(
        [
            nearest(np.array(Image.open(path)), size).ravel()
            for path, size in zip(files, resized_sizes(), strict=True)
        ]
    )
    first, last = (np.concatenate([x.ravel() for x in labels]) for labels in (first, last))
    rows = read_table(target / 'run' / 'label_correction_truth.csv')
    assert [int(row['iterations']) for row in rows[::4]] == [0, 7, 14, 21, 28, 30]
    assert [row['event'] for row in rows[::4]] == ['begin', '', '', '', '', 'end']
    counted = truth != 255
    for row in rows[:4] + rows[-4:]:
        label, c = first if row['event'] == 'begin' else last, CLASSES.index(row['class'])
        true, said = counted & (truth == c), counted & (label == c)
        iou = (true & said).sum() / (true | said).sum() if true.any() else None
        assert row['iou'] == ('' if iou is None else f'{iou:.6f}')
        became = said & (first != c)
        assert int(row['mended']) == (became & true).sum()
        harmless = (first == truth) | (first == 255)  # nothing was trained on what has no label
        assert int(row['spoilt']) == (became & ~true & harmless).sum()
        assert int(row['still_wrong']) == (became & ~true & ~harmless).sum()
    assert rows[0]['iou'] == ''  # the truth has no road
    kinds = ('mended', 'spoilt', 'still_wrong')
    assert min(sum(int(row[kind]) for row in rows[-4:]) for kind in kinds) > 0


@pytest.mark.parametrize(
    ('iterations', 'queue', 'warned'), [(7, 8, True), (8, 8, False), (8, 11, True)]
)
def test_a_correction_that_cannot_begin_is_warned_of(make_runner, iterations, queue, warned):
    """Every second iteration decides; the queue is full at number 4 or 6, and one point too few."""
    runner, messages = make_runner('run', iterations, queue_length=queue), []
    runner.logger.addHandler(_Collector(messages, logging.WARNING))
    runner.train()
    assert any('no label will be corrected' in message for message in messages) == warned


def test_truth_of_the_training_images(make_runner, target: Path) -> None:
    """It is said in the log, and labels that are missing are before anything is written."""
    runner = make_runner('run', 1, truth_dir=str(target / 'truth'))
    messages = []
    runner.logger.addHandler(_Collector(messages, logging.INFO))
    runner.logger.setLevel(logging.INFO)
    runner.train()
    first, last = (m for m in messages if 'labels' in m and 'mended' in m)
    assert re.search(r'after 0 iterations: .* (\S+) -> \1, 0 pixels mended, 0 spoilt$', first)
    assert 'label bank after 1 iterations: mIoU of the labels' in last
    path = next((target / 'truth').glob('*/*.png'))
    Image.fromarray(np.asarray(Image.open(path))[:-1]).save(path)
    with pytest.raises(UserError, match='is of another size than its image'):
        make_runner('other', 1, truth_dir=str(target / 'truth')).train()
    path.unlink()
    with pytest.raises(UserError, match=r'truth_dir .*: 1 of 5 labels are missing, the first is'):
        make_runner('none', 1, truth_dir=str(target / 'truth')).train()
    assert not (target / 'none/label_bank').exists()


def test_a_correction_that_spoils() -> None:
    found = Comparison(
        *np.array([[0.5, np.nan], [0.4, np.nan]]), *np.array([[1, 0], [2, 0], [0, 4]])
    )
    assert found.sentence() == (
        'mIoU of the labels 50.00 -> 40.00, 1 pixels mended, 2 spoilt: the correction spoils more '
        'than it mends'
    )


def test_curve_agrees_with_predictions(make_runner, target: Path) -> None:
    """Each point is the sum of intersections over the sum of unions of the last three images."""
    runner = make_runner('run', 9)
    runner.train()
    images = [image for batch in runner.model.seen for image in batch]
    expected = []
    for iteration in range(2, 9, 2):
        last = images[: (iteration + 1) * BATCH][-3:]
        for c, name in enumerate(CLASSES):
            intersection = union = 0
            for _, label, prediction, _ in last:
                counts = label != 255
                intersection += (counts & (label == c) & (prediction == c)).sum()
                union += (counts & ((label == c) | (prediction == c))).sum()
            expected.append((iteration, name, intersection / union))
    rows = read_table(target / 'run' / 'label_correction_curve.csv')
    assert [(int(r['iteration']), r['class']) for r in rows] == [e[:2] for e in expected]
    np.testing.assert_allclose([float(r['iou']) for r in rows], [e[2] for e in expected], atol=1e-6)


def test_visualizer_gets_the_curve(make_runner, target: Path, monkeypatch) -> None:
    runner = make_runner('run', 5)
    scalars = {}

    def note(values: dict, step: int, **kwargs: object) -> None:
        if any(name.startswith('label_correction') for name in values):
            scalars[step] = values

    monkeypatch.setattr(runner.visualizer, 'add_scalars', note)
    runner.train()
    assert sorted(scalars) == [0, 2, 4]
    row = read_table(target / 'run' / 'label_correction_curve.csv')[-1]
    assert scalars[4]['label_correction_iou/tree'] == float(row['iou'])


def test_resumed_right_after_a_checkpoint_goes_on_identically(make_runner, target: Path) -> None:
    """Stopped after 16 of 30 iterations: bank, predictions, state and tables come out the same."""
    truth = {'truth_dir': str(target / 'truth')}
    whole = make_runner('whole', ITERATIONS, **truth)
    whole.train()
    make_runner('halves', 16, **truth).train()
    rows = read_table(target / 'halves' / 'label_correction.csv')
    assert rows[-1]['event'] == 'end'  # pixels are counted that no decision has reported yet
    halves = make_runner('halves', ITERATIONS, resume=True, **truth)
    halves.train()
    assert len(halves.model.seen) == 14
    for a, b in zip(whole.model.seen[16:], halves.model.seen, strict=True):
        for (meta_a, label_a, *_), (meta_b, label_b, *_) in zip(a, b, strict=True):
            assert meta_a['crop_box'] == meta_b['crop_box']  # or the comparison proves nothing
            np.testing.assert_array_equal(label_a, label_b)
    files = ['label_bank/' + f for f in ('labels.u8', 'predictions.u8', 'confidences.f16')]
    for name in [
        *files,
        'label_bank/index.i64',
        'label_correction.csv',
        'label_correction_curve.csv',
        'label_correction_truth.csv',
    ]:
        a, b = ((target / run / name).read_bytes() for run in ('whole', 'halves'))
        assert a == b, name
    states = [
        torch.load(target / run / 'iter_30.pth', weights_only=False)['label_correction']
        for run in ('whole', 'halves')
    ]
    torch.testing.assert_close(*states, rtol=0, atol=0, equal_nan=True)
    # mmengine's own part of the file needs a pickle, ours must not
    torch.save(states[0], target / 'state.pth')
    loaded = torch.load(target / 'state.pth', weights_only=True)
    torch.testing.assert_close(loaded, states[0], rtol=0, atol=0, equal_nan=True)


def train_until(runner, iteration: int) -> None:
    """Train as if killed in an iteration."""

    class Killed(BaseException):
        pass

    train_step = runner.model.train_step

    def kill(*args, **kwargs):
        if runner.iter == iteration:
            raise Killed
        return train_step(*args, **kwargs)

    runner.model.train_step = kill
    with pytest.raises(Killed):
        runner.train()


def test_killed_after_a_checkpoint_goes_on_identically(make_runner, target: Path) -> None:
    """Killed after 23 iterations, the bank is taken back to the checkpoint after 16."""

    truth = {'truth_dir': str(target / 'truth')}
    make_runner('whole', ITERATIONS, **truth).train()
    train_until(make_runner('killed', ITERATIONS, **truth), 23)
    make_runner('killed', ITERATIONS, resume=True, **truth).train()
    for path in (target / 'whole').glob('label_*/*'):
        assert path.read_bytes() == (target / 'killed/label_bank' / path.name).read_bytes(), path
    for name in (path.name for path in (target / 'whole').glob('label_correction*.csv')):
        assert (target / 'whole' / name).read_text() == (target / 'killed' / name).read_text()


def test_cut_off_row_of_a_table_is_dropped(make_runner, target: Path) -> None:
    make_runner('run', 16).train()
    table = target / 'run' / 'label_correction.csv'
    rows = [row for row in read_table(table) if row['event'] != 'end']
    with table.open('a') as file:
        file.write('1')  # of 16 and more
    make_runner('run', 17, resume=True).train()
    assert read_table(table)[: len(rows)] == rows


def test_resume_without_the_undo_log_says_so(make_runner, target: Path) -> None:
    """The run was finished, so nothing remembers how to go back to an older checkpoint."""
    make_runner('run', 19).train()
    (target / 'run' / 'last_checkpoint').write_text(str(target / 'run' / 'iter_16.pth'))
    runner = make_runner('run', 21, resume=True)
    warnings = []
    runner.logger.addHandler(_Collector(warnings))
    runner.train()
    message = next(w for w in warnings if 'label bank' in w)
    assert 'iteration 18' in message
    assert 'iteration 15' in message
    iterations = [int(r['iteration']) for r in read_table(target / 'run' / 'label_correction.csv')]
    assert iterations == sorted(iterations)


def test_resume_with_an_undo_log_that_is_too_short_says_so(make_runner, target: Path) -> None:
    """As a power cut may leave it."""

    train_until(make_runner('run', 21), 19)
    os.truncate(target / 'run/label_bank/undo.16', 100)
    runner = make_runner('run', 21, resume=True)
    warnings = []
    runner.logger.addHandler(_Collector(warnings))
    runner.train()
    assert any(
        'is that of iteration 18, the checkpoint that of iteration 15' in w for w in warnings
    )


class _Collector(logging.Handler):
    def __init__(self, messages: list[str], level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


def test_resume_before_the_first_checkpoint_begins_again(make_runner, target: Path) -> None:
    make_runner('run', 9).train()
    (target / 'run' / 'last_checkpoint').unlink()
    (target / 'run' / 'iter_9.pth').unlink()
    again = make_runner('run', 9, resume=True)
    again.train()
    assert len(again.model.seen) == 9
    make_runner('other', 9).train()
    for name in ('label_bank/labels.u8', 'label_correction.csv'):
        assert (target / 'run' / name).read_bytes() == (target / 'other' / name).read_bytes()


def test_second_run_in_a_work_folder_is_refused(make_runner, target: Path) -> None:
    make_runner('run', 9).train()
    before = (target / 'run' / 'label_bank' / 'labels.u8').read_bytes()
    with pytest.raises(UserError, match=r'run/label_bank .*--resume.*--work-dir'):
        make_runner('run', 10).train()
    assert (target / 'run' / 'label_bank' / 'labels.u8').read_bytes() == before


def test_bank_that_no_iteration_used_is_made_anew(make_runner, target: Path, monkeypatch) -> None:
    """As left by a run that was killed before its first iteration, and before its provenance."""

    class Killed(BaseException):
        pass

    runner = make_runner('run', 9)

    def kill(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(runner.model, 'train_step', kill)
    with pytest.raises(Killed):
        runner.train()
    label = next((target / 'pseudo').glob('*/*.png'))
    Image.fromarray(np.array(Image.open(label)) * 0).save(label)
    with pytest.raises(UserError, match=r'pseudo_label_dir is .*another --work-dir'):
        make_runner('run', 9, pseudo_label_dir=str(target / 'other')).train()
    make_runner('run', 9).train()
    make_runner('other', 9).train()
    for name in ('label_bank/labels.u8', 'label_correction.csv'):
        assert (target / 'run' / name).read_bytes() == (target / 'other' / name).read_bytes()


def test_resume_with_another_recipe_is_refused(make_runner, target: Path) -> None:
    make_runner('run', 15).train()
    with pytest.raises(UserError, match=r'interval was 2 .* is 5 now'):
        make_runner('run', 16, resume=True, interval=5).train()


def test_resume_with_another_recipe_anyway(make_runner, target: Path) -> None:
    make_runner('run', 15).train()
    (target / 'pseudo').rename(target / 'new')
    other = {'interval': 5, 'pseudo_label_dir': str(target / 'new')}
    runner = make_runner('run', 16, resume=True, **other)
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, LabelCorrectionHook)]
    hook.anyway = True
    runner.train()
    assert len(runner.model.seen) == 1


def test_resume_with_other_pseudo_labels_is_refused(make_runner, target: Path) -> None:
    make_runner('run', 15).train()
    with pytest.raises(UserError, match=r'pseudo_label_dir is .*/pseudo, this run has .*/other'):
        make_runner('run', 16, resume=True, pseudo_label_dir=str(target / 'other')).train()


def test_resume_without_the_bank_is_refused(make_runner, target: Path) -> None:
    make_runner('run', 15).train()
    (target / 'run' / 'label_bank').rename(target / 'moved')
    with pytest.raises(UserError, match='run/label_bank is damaged'):
        make_runner('run', 16, resume=True).train()


def test_diverged_network_is_named(make_runner) -> None:
    runner = make_runner('run', 5)
    forward = runner.model.forward

    def diverge(*args, **kwargs):
        losses = forward(*args, **kwargs)
        runner.model.last_prediction.confidence[0, 0, 0] = float('nan')
        return losses

    runner.model.forward = diverge
    with pytest.raises(UserError, match='after iteration 0: training has diverged'):
        runner.train()


def test_skipped_iteration_is_not_kept(make_runner) -> None:
    """Its outputs say so; labels and predictions stay as they were, decisions go on."""
    runner = make_runner('run', 5)
    train_step, kept = runner.model.train_step, []

    def skip_the_last_but_one(*args, **kwargs):
        kept.append(hook_of(runner).bank.iteration)
        outputs = train_step(*args, **kwargs)
        return outputs | {'skipped': True} if len(kept) == 4 else outputs

    runner.model.train_step = skip_the_last_but_one
    runner.train()
    assert kept == [-1, 0, 1, 2, 2]


def test_epoch_counts_the_last_smaller_batch(make_runner) -> None:
    runner = make_runner('run', 1)
    runner.train()
    assert hook_of(runner).rule.epoch_length == EPOCH


def test_first_epoch_shorter_than_queue(make_runner, target: Path) -> None:
    """Without a full queue there is no curve, and nothing starts; nothing fails either."""
    make_runner('run', 10, queue_length=1000).train()
    assert read_table(target / 'run' / 'label_correction_curve.csv') == []
    assert read_table(target / 'run' / 'label_correction.csv') == []


def test_bank_can_be_opened_after_the_run(make_runner, target: Path) -> None:
    runner = make_runner('run', 7)
    runner.train()
    loader = runner.train_dataloader
    source = hook_module.BankSource(loader.dataset, target / 'pseudo', len(CLASSES))
    bank = LabelBank(target / 'run' / 'label_bank', source.identity)
    assert bank.iteration == 6
    assert bank.read_label(0, Box(0, 5, 0, 5)).shape == (5, 5)
    bank.close()
