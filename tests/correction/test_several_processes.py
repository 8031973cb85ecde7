"""The label correction in two processes of batch 1 is that of one process of batch 2."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from . import two_processes


@pytest.mark.slow
@pytest.mark.parametrize('iterations', [24])
def test_two_processes_correct_as_one_does(make_runner, target, iterations):
    config = make_runner('unused', iterations).cfg.to_dict()
    config['model'] = {'type': 'PlaceGuesser'}
    config['custom_hooks'] = config['custom_hooks'][1:]  # the loop seeds batches by their place
    one = config | {'work_dir': str(target / 'one'), 'experiment_name': f'{target.name}_one'}
    runner, hook = two_processes.train(one)
    assert hook.record is not None

    config['train_dataloader']['batch_size'] = 1
    two = config | {
        'work_dir': str(target / 'two'),
        'experiment_name': f'{target.name}_two',
        'launcher': 'pytorch',
    }
    (target / 'two.txt').write_text(repr(two))  # with its tuples
    script = Path(__file__).with_name('two_processes.py')
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'torch.distributed.run', '--standalone'),
            *('--nproc-per-node=2', script, target / 'two.txt'),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-4000:]

    # what was decided, and when
    for name in ('label_correction.csv', 'label_correction_curve.csv'):
        text = (target / 'one' / name).read_text()
        assert (target / 'two' / name).read_text() == text
    assert 'start' in (target / 'one/label_correction.csv').read_text()
    # the labels, predictions, confidences and crops at the end
    for path in (target / 'one/label_bank').iterdir():
        if path.name != 'meta.json':
            assert (target / 'two/label_bank' / path.name).read_bytes() == path.read_bytes()
    # what each iteration was trained on
    given = [json.loads((target / f'two/given{rank}.json').read_text()) for rank in (0, 1)]
    joint = [sample for pair in zip(*given, strict=True) for sample in pair]
    expected = [sample for batch in runner.model.seen for sample in batch]
    assert len(joint) == len(expected) == 2 * iterations
    for (index, box, label), (meta, trained_on, _, _) in zip(joint, expected, strict=True):
        assert index == meta['sample_idx']
        assert list(box) == list(meta['crop_box'])
        np.testing.assert_array_equal(label, trained_on)
