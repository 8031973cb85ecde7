"""A training that is killed, again and again, ends as one that was never stopped."""

import itertools
import os
import random
import time

import killed_runs
import numpy as np
import pytest

from mmseg_uvpt.engine.scripts import pretrain, train
from mmseg_uvpt.files import write_png

ITERATIONS = 12
KILLS = int(os.environ.get('UVPT_KILLS', 20))
LONG = [
    f'train_cfg.max_iters={ITERATIONS}',
    'train_cfg.val_interval=4',
    'model.decode_head.dropout_ratio=0.1',  # draws random numbers, as drop path does
]


@pytest.fixture
def scripts(miniature, finished, source_config, adaptation_config, data_root):
    """Main function and arguments of both trainings."""
    rng = np.random.default_rng(0)
    labels = data_root / 'cityscapes/pretrain/tiny/train'
    for frame in (data_root / 'cityscapes/leftImg8bit/train').rglob('*.png'):
        name = frame.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
        classes = rng.integers(0, 4, (4, 8)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        write_png(labels / frame.parent.name / name, classes)
    options = ['--data-root', str(data_root)]
    source = ['--source-checkpoint', str(finished / 'iter_4.pth')]
    correction = [
        'default_hooks.label_correction.slope=0.0',  # classes are corrected early and often
        'default_hooks.label_correction.quantile=0.3',
        'model.backbone.drop_path_rate=0.3',
    ]
    drop_path = 'model.backbone.drop_path_rate=0.3'
    return {
        'train': (train.main, [str(adaptation_config), *source, *options], [*LONG, *correction]),
        'pretrain': (pretrain.main, [str(source_config), *options], [*LONG, drop_path]),
    }


@pytest.mark.slow  # test_interruption.py and tests/correction/test_hook.py are quick ones
@pytest.mark.parametrize(('script', 'kills'), [('train', KILLS), ('pretrain', KILLS // 5)])
def test_killed_at_random_moments(scripts, tmp_path, script, kills):
    main, arguments, options = scripts[script]
    options = ['--cfg-options', *options]
    arguments = [*arguments, '--work-dir']
    whole = tmp_path / 'whole'
    begin = time.monotonic()
    assert killed_runs.wait(killed_runs.fork(main, [*arguments, str(whole), *options])) == 0
    seconds = time.monotonic() - begin
    moments = random.Random(1)
    for number in itertools.count():  # a run may end before it was killed so often: then another
        killed = tmp_path / f'killed{number}'
        kills -= killed_runs.run_with_kills(
            main, [*arguments, str(killed), *options], killed, moments, kills, seconds
        )
        a, b = (killed_runs.left_behind(folder, ITERATIONS) for folder in (whole, killed))
        assert killed_runs.differences(a, b) == []
        if not kills:
            break
