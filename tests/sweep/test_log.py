"""What a log tells."""

import pytest

from mmseg_uvpt.sweep.status import last_lines, progress

TRAIN = (
    '11/25 19:10:14 - mmengine - INFO - Iter(train) [  50/40000]  lr: 1e-06  eta: 1 day, 3:20:11  '
    'time: 2.4  data_time: 0.1  loss: 3.2\n'
)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (TRAIN, 'train 50/40000, 1 day, 3:20:11 left'),
        (TRAIN + 'Iter(val) [ 10/500]    eta: 0:01:02  time: 0.1\n', 'val 10/500, 0:01:02 left'),
        ('Iter(val) [500/500]    mIoU: 50.1\n', 'val 500/500'),
        ('labelling: 265/780 frames, 0:00:31 left\n', 'labelling 265/780, 0:00:31 left'),
        ('\xff nothing of the kind\n', ''),
        ('', ''),
    ],
)
def test_progress(tmp_path, text, expected):
    log = tmp_path / 'job.log'
    log.write_text('$ python train.py\n' + text, encoding='latin-1')
    assert progress(log) == expected


def test_progress_of_a_long_log(tmp_path):
    log = tmp_path / 'job.log'
    log.write_text('x' * 100_000 + '\n' + TRAIN)
    assert progress(log) == 'train 50/40000, 1 day, 3:20:11 left'
    assert progress(tmp_path / 'gone.log') == ''


def test_last_lines(tmp_path):
    log = tmp_path / 'job.log'
    log.write_text(f'one\ntwo\n\n{TRAIN}error: {"x" * 500}\n')
    first, second, third = last_lines(log).splitlines()
    assert (first, second[:11]) == ('two', 'INFO - Iter')
    assert third.startswith('error: xxx')
    assert len(third) == 300
