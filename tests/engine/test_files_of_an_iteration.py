"""How many files of the package a reader walks from an image to the checkpoint of an iteration."""

import sys
from pathlib import Path

import mmseg_uvpt
from mmseg_uvpt.datasets.seeded_batches import SeededBatches
from mmseg_uvpt.engine.hooks import order
from mmseg_uvpt.engine.scripts import train

PACKAGE = Path(mmseg_uvpt.__file__).parent
LAST = 'after_train_iter'  # then the checkpoint is written


def test_an_iteration_runs_through_at_most_48_files(
    judged_config, finished, data_root, pseudo_labels, tmp_path, monkeypatch
):
    called = set()
    read = SeededBatches.__getitems__

    def note(frame, event: str, _) -> None:
        code = frame.f_code
        if event == 'call':
            called.add(code.co_filename)
        elif (event, code.co_name) == ('return', 'call_hook') and frame.f_locals['fn_name'] == LAST:
            sys.setprofile(None)

    def begin(*arguments):
        sys.setprofile(note)
        return read(*arguments)

    monkeypatch.setattr(SeededBatches, '__getitems__', begin)
    monkeypatch.setattr(order, 'beside_log', lambda: False)  # a log is all that is seen
    try:
        train.main(
            [
                *(str(judged_config), '--no-validate', '--work-dir', str(tmp_path / 'run')),
                *('--source-checkpoint', str(finished / 'iter_4.pth')),
                *('--pseudo-label-dir', str(data_root / 'cityscapes/pretrain/tiny/train')),
                *('--data-root', str(data_root), '--cfg-options', 'train_cfg.max_iters=1'),
                'default_hooks.checkpoint.interval=1',
            ]
        )
    finally:
        sys.setprofile(None)
    files = {Path(f).relative_to(PACKAGE).as_posix() for f in called if f.startswith(str(PACKAGE))}
    assert {'models/segmentors/uni_uvpt.py', 'correction/rule.py', 'files.py'} <= files
    assert len(files) <= 48, sorted(files)
