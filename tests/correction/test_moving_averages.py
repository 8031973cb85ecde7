"""The averages that a hook keeps of each frame, against a replay of whole runs."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_uvpt.correction.label_bank import Box
from mmseg_uvpt.correction.moving_averages import FILE, MovingAverages
from mmseg_uvpt.errors import UserError

from .conftest import CLASSES, CROP, Guesser
from .test_hook import resized_sizes, train_until

HOOK = {'type': 'EarlyLearningHook'}
PLACE = 'label_bank/moving_averages/averages.f16'


@MODELS.register_module()
class AverageGuesser(Guesser):
    """Moves the averages that it is given towards noise; notes both."""

    average_stride = 4

    def forward(self, inputs, data_samples, mode):
        random = np.random.default_rng([7, int(self.count)])
        self.last_averages = torch.zeros(len(inputs), len(CLASSES), CROP // 4, CROP // 4)
        losses = super().forward(inputs, data_samples, mode)
        for i, sample in enumerate(data_samples):
            given = sample.moving_average.data.numpy().copy()
            noise = random.uniform(0.1, 1, (len(CLASSES), CROP // 4, CROP // 4)).astype('f4')
            cells = noise[:, : given.shape[1], : given.shape[2]]
            cells[:] = np.where(given.sum(0) == 0, cells, (given + cells) / 2)
            self.last_averages[i] = torch.from_numpy(noise)
            self.seen[-1][i] += (given, noise)
        return losses


@pytest.fixture
def make_run(make_runner):
    """Make a runner with the hook and the model that guesses averages."""

    def make(*args: object, **kwargs: object):
        runner = make_runner(*args, **{**HOOK, **kwargs})
        runner.model = AverageGuesser()
        runner.optim_wrapper = {'optimizer': {'type': 'SGD', 'lr': 0.1}}
        return runner

    return make


def cell(pixel: int) -> int:
    """Return the cell that begins nearest to a pixel."""
    return min(range(100), key=lambda n: (abs(4 * n - pixel), -n))


def test_file_agrees_with_a_replay(make_run, target):
    """Cell by cell: what is given is what was last left for that place of the frame."""
    runner = make_run('run', 20)
    runner.train()
    kept = [np.zeros((4, -(-h // 4), -(-w // 4)), np.float16) for h, w in resized_sizes()]
    cases = Counter()
    for batch in runner.model.seen:
        left_behind = []
        for meta, *_, given, left in batch:
            frame = kept[meta['sample_idx']]
            top, bottom, start, end = meta['crop_box']
            height, width = -(-(bottom - top) // 4), -(-(end - start) // 4)
            assert given.shape == (4, height, width)
            rows = [min(cell(top), frame.shape[1] - height) + y for y in range(height)]
            columns = [min(cell(start), frame.shape[2] - width) + x for x in range(width)]
            if meta['flip']:
                columns.reverse()
            for (y, row), (x, column) in product(enumerate(rows), enumerate(columns)):
                assert frame[:, row, column].tolist() == given[:, y, x].tolist()
                left_behind.append((frame[:, row, column], left[:, y, x]))
                cases['again' if given[:, y, x].any() else 'first'] += 1
            cases['flipped' if meta['flip'] else 'not'] += 1
            cases['within a cell'] += bool(top % 4 or start % 4)
        for place, values in left_behind:  # a batch may hold an image twice
            place[:] = values
    found = np.fromfile(target / 'run' / PLACE, np.float16)
    np.testing.assert_array_equal(found, np.concatenate([frame.ravel() for frame in kept]))
    assert min(cases.values()) > 5
    labels = (target / 'run/label_bank/labels.u8').read_bytes()
    make_run('begun', 1).train()
    assert (target / 'begun/label_bank/labels.u8').read_bytes() == labels  # nothing is corrected
    assert len((target / 'run/label_correction_curve.csv').read_text().splitlines()) > 10


def test_killed_after_a_checkpoint_goes_on_identically(make_run, target):
    make_run('whole', 19).train()
    train_until(make_run('killed', 19), 18)
    make_run('killed', 19, resume=True).train()
    assert (target / 'whole' / PLACE).read_bytes() == (target / 'killed' / PLACE).read_bytes()
    assert sorted(path.name for path in (target / 'killed' / PLACE).parent.iterdir()) == [FILE]


def test_resume_without_the_undo_log_says_so(make_run, target, monkeypatch):
    """The label bank has its own, and is taken back."""
    train_until(make_run('killed', 19), 18)
    (target / 'killed' / PLACE).with_name('undo.16').unlink()
    runner = make_run('killed', 19, resume=True)
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.train()
    (found,) = [text for text in warnings if 'label_bank' in text]
    assert 'moving_averages since the checkpoint' in found


def test_skipped_iteration_leaves_no_averages(make_run, target):
    runner = make_run('run', 2)
    train_step = runner.model.train_step
    runner.model.train_step = lambda *args, **kwargs: train_step(*args, **kwargs) | {'skipped': 1}
    runner.train()
    assert not np.fromfile(target / 'run' / PLACE, np.float16).any()


def test_what_is_refused(make_runner, make_run, target):
    with pytest.raises(UserError, match=r'the model is a Guesser: .*model\.type=EarlyLearning'):
        make_runner('run', 2, **HOOK).train()
    make_run('run', 16).train()
    (target / 'run' / PLACE).write_bytes(b'cut short')
    with pytest.raises(UserError, match=r'averages\.f16 is damaged: 9 instead of .*--work-dir'):
        make_run('run', 17, resume=True).train()


def test_crop_at_the_end_of_a_frame_of_an_odd_size(tmp_path):
    averages = MovingAverages.create(tmp_path / 'a', [(35, 34)], 2, 4)
    box = Box(2, 35, 3, 34)  # 33 x 31: 9 of 9 rows, 8 of 9 columns
    cells = np.random.default_rng(0).uniform(size=(2, 9, 8)).astype(np.float16)
    averages.write(0, box, cells)
    np.testing.assert_array_equal(averages.read(0, box), cells)
    assert not averages.read(0, Box(0, 35, 0, 4)).any()
    averages.close()
