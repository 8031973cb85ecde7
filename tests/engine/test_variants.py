"""The paper's own variants of the label correction, each chosen by options of train.py."""

import csv
import random
from pathlib import Path

import killed_runs
import numpy as np
import pytest

from mmseg_uvpt.datasets.cityscapes import CheckedCityscapesDataset
from mmseg_uvpt.engine.scripts import train
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_png

CORRECTION = 'default_hooks.label_correction'


@pytest.fixture
def adapt(tmp_path, miniature, finished, adaptation_config):
    """Start an adaptation of six iterations in a folder; return the folder."""
    rng = np.random.default_rng(0)
    labels = tmp_path / 'labels'
    for frame in (miniature / 'data/cityscapes/leftImg8bit/train').rglob('*.png'):
        name = frame.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
        classes = rng.integers(0, 4, (4, 8)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        write_png(labels / frame.parent.name / name, classes)

    def start(name: str, *options: str, by=train.main):
        where = ['--work-dir', str(tmp_path / name), '--data-root', str(miniature / 'data')]
        source = ['--source-checkpoint', str(finished / 'iter_4.pth'), '--no-validate']
        own = ['--pseudo-label-dir', str(labels), '--cfg-options', 'train_cfg.max_iters=6']
        by([str(adaptation_config), *source, *where, *own, *options])
        return tmp_path / name

    return start


def rows(path) -> list[dict[str, str]]:
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_offline_correction(adapt):
    """By the curve of an online run; without one the error says how to come by it."""
    offline = f'{CORRECTION}.type=OfflineLabelCorrectionHook'
    low = f'{CORRECTION}.confidence=0.01'  # the source model was trained for four iterations
    with pytest.raises(UserError, match=r'the record of an earlier run.*train\.py CONFIG'):
        adapt('without', offline)
    record = adapt('online', 'train_cfg.max_iters=3') / 'label_correction_curve.csv'
    assert [int(row['iteration']) for row in rows(record) if row['class'] == 'road'] == [2]
    classes = CheckedCityscapesDataset.METAINFO['classes']
    lines = ['iteration,class,iou']
    for iteration, bent, straight in ((0, 0.5, 0.1), (2, 0.6, 0.2), (4, 0.5, 0.3), (6, 0.2, 0.4)):
        lines += [f'{iteration},{name},{bent}' for name in classes[1:]]
        lines += [f'{iteration},{classes[0]},{straight}']
    record.write_text('\n'.join([*lines, '']))
    # a parabola's slope is 0 at its second point, so after iteration 2 * 2; a line's never
    made = adapt('offline', offline, f'{CORRECTION}.record={record.parent}', low)
    events = rows(made / 'label_correction.csv')
    started = {(row['iteration'], row['class']) for row in events if row['event'] == 'start'}
    assert started == {('4', name) for name in classes[1:]}
    changed = {row['class'] for row in events if int(row['pixels_changed'])}
    assert changed
    assert classes[0] not in changed


EARLY = ('model.type=EarlyLearning', f'{CORRECTION}.type=EarlyLearningHook')
AVERAGES = 'label_bank/moving_averages/averages.f16'


@pytest.mark.slow
def test_early_learning(adapt):
    """Method and hook are chosen together; what is kept is of the three frames of 64 x 32."""
    with pytest.raises(UserError, match=r'EarlyLearning needs the averages that a hook keeps'):
        adapt('method alone', EARLY[0])
    with pytest.raises(UserError, match=r'the model is a UniUVPT'):
        adapt('hook alone', EARLY[1])
    made = adapt('both', *EARLY)
    lines = killed_runs.logged(made, 'loss')
    assert len(lines) == 6
    assert all(line['loss_early_learning'] < 0 < line['loss_self_training'] for line in lines)
    averages = np.fromfile(made / AVERAGES, np.float16).reshape(3, 19, 8, 16).astype(float)
    sums = averages.sum(1)
    assert (sums > 0).any((1, 2)).all()  # crops of half a frame
    np.testing.assert_allclose(sums[sums > 0], 1, atol=2e-3)
    assert not rows(made / 'label_correction.csv')


def in_two_processes(arguments: list[str]) -> None:
    assert killed_runs.statuses_together(train.main, arguments) == [0, 0]


@pytest.mark.slow
def test_early_learning_in_two_processes(adapt):
    """They leave what one leaves, but for the order of additions."""
    two = adapt('two', *EARLY, 'train_dataloader.batch_size=1', by=in_two_processes)
    one = adapt('one', *EARLY, 'train_dataloader.batch_size=2')
    whole, halves = (np.fromfile(folder / AVERAGES, np.float16) for folder in (one, two))
    assert ((whole > 0) == (halves > 0)).all()
    np.testing.assert_allclose(halves.astype(float), whole.astype(float), atol=5e-3)


@pytest.mark.slow
def test_early_learning_goes_on_exactly(adapt):
    """Killed at random moments, it leaves what a run leaves that was never stopped."""

    def kill(arguments: list[str]) -> None:
        moments, folder = random.Random(3), Path(arguments[arguments.index('--work-dir') + 1])
        killed_runs.run_with_kills(train.main, arguments, folder, moments, 4, seconds=8)

    options = (*EARLY, 'model.backbone.drop_path_rate=0.3', 'default_hooks.checkpoint.interval=2')
    folders = adapt('whole', *options), adapt('killed', *options, by=kill)
    whole, killed = (killed_runs.left_behind(folder, 6) for folder in folders)
    assert killed_runs.differences(whole, killed) == []
    averages = [(folder / AVERAGES).read_bytes() for folder in folders]
    assert averages[0] == averages[1]
