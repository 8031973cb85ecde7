"""A training that is killed, again and again, ends as one that was never stopped."""

import os
import signal

import killed_runs
import numpy as np
import pytest

from mmseg_uvpt.engine import pretrain, train
from mmseg_uvpt.files import write_png

ITERATIONS = 16
KILLS = int(os.environ.get('UVPT_KILLS', 20))
LONG = [
    f'train_cfg.max_iters={ITERATIONS}',
    'train_cfg.val_interval=4',
    'train_dataloader.sampler.shuffle=True',
]


@pytest.fixture
def scripts(miniature, finished, source_config, adaptation_config, data_root):
    """Main function and arguments of both trainings."""
    random = np.random.default_rng(0)
    labels = data_root / 'cityscapes/pretrain/tiny/train'
    for frame in (data_root / 'cityscapes/leftImg8bit/train').rglob('*.png'):
        name = frame.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
        classes = random.integers(0, 4, (4, 8)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        write_png(labels / frame.parent.name / name, classes)
    options = ['--data-root', str(data_root)]
    source = ['--source-checkpoint', str(finished / 'iter_4.pth')]
    correction = [
        'default_hooks.label_correction.slope=0.0',  # classes are corrected early and often
        'default_hooks.label_correction.quantile=0.3',
    ]
    return {
        'train': (train.main, [str(adaptation_config), *source, *options], [*LONG, *correction]),
        'pretrain': (pretrain.main, [str(source_config), *options], LONG),
    }


@pytest.mark.parametrize(('script', 'kills'), [('train', KILLS), ('pretrain', KILLS // 4)])
def test_killed_at_random_moments(scripts, tmp_path, script, kills):
    main, arguments, options = scripts[script]
    whole, killed = (
        [*arguments, '--work-dir', str(tmp_path / name), '--cfg-options', *options]
        for name in ('whole', 'killed')
    )
    assert killed_runs.wait(killed_runs.fork(main, whole)) == 0
    starts = killed_runs.run_with_kills(main, killed, tmp_path / 'killed', kills, seed=1)
    assert starts.count(-signal.SIGKILL) == kills
    a, b = (
        killed_runs.left_behind(folder, ITERATIONS)
        for folder in (tmp_path / 'whole', tmp_path / 'killed')
    )
    assert killed_runs.differences(a, b) == []
