"""How many files of the package a reader walks from an image to the checkpoint of an iteration."""

import sys
from pathlib import Path

import mmseg_uvpt
from mmseg_uvpt.datasets.seeded_batches import SeededBatches
from mmseg_uvpt.engine.scripts import train

PACKAGE = Path(mmseg_uvpt.__file__).parent
LAST = ('return', 'call_hook', 'after_train_iter')  # then the checkpoint is written


def test_an_iteration_runs_through_at_most_45_files(
    adaptation_config, finished, data_root, pseudo_labels, tmp_path
):
    files: set[str] = set()
    walking = False

    def note(frame, event: str, _) -> None:
        nonlocal walking
        code = frame.f_code
        if event == 'call':
            walking = walking or code is SeededBatches.__getitems__.__code__
            if walking and code.co_filename.startswith(str(PACKAGE)):
                files.add(Path(code.co_filename).relative_to(PACKAGE).as_posix())
        elif (event, code.co_name, frame.f_locals.get('fn_name')) == LAST:
            sys.setprofile(None)

    sys.setprofile(note)
    try:
        train.main(
            [
                *(str(adaptation_config), '--no-validate', '--work-dir', str(tmp_path / 'run')),
                *('--source-checkpoint', str(finished / 'iter_4.pth')),
                *('--pseudo-label-dir', str(data_root / 'cityscapes/pretrain/tiny/train')),
                *('--data-root', str(data_root), '--cfg-options', 'train_cfg.max_iters=1'),
                'default_hooks.checkpoint.interval=1',
            ]
        )
    finally:
        sys.setprofile(None)
    assert {'models/segmentors/uni_uvpt.py', 'correction/rule.py', 'files.py'} <= files
    assert len(files) <= 45, sorted(files)
