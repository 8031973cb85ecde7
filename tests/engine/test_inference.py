"""The passes that only predict: batches, half precision, compiled networks, files by threads."""

import json
import runpy
import sys

import cv2
import killed_runs
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch._dynamo.utils import counters

from mmseg_uvpt.acceleration import compiled_parts
from mmseg_uvpt.engine.inference import pseudo_labels
from mmseg_uvpt.engine.scripts import generate_pseudo_label, test
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_png
from mmseg_uvpt.ops import backends
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY


@pytest.fixture
def score(tmp_path, finished, source_config, data_root):
    """Score the finished pretraining; return the result."""

    def run(*options: str, checkpoint=finished / 'iter_4.pth') -> dict:
        where = ['--work-dir', str(tmp_path / 'work'), '--data-root', str(data_root)]
        out = tmp_path / 'score.json'
        test.main([str(source_config), str(checkpoint), *where, '--out', str(out), *options])
        return json.loads(out.read_text())

    return run


@pytest.fixture
def label(tmp_path, finished, source_config, data_root):
    """Make pseudo labels in a folder of their own; return it."""

    def run(name: str, *options: str):
        folder = tmp_path / name
        files = ['--checkpoint', str(finished / 'iter_4.pth'), '--pseudo_label_dir', str(folder)]
        data = ['--data-root', str(data_root)]
        generate_pseudo_label.main(['--config', str(source_config), *files, *data, *options])
        return folder

    return run


def pixels(folder) -> np.ndarray:
    files = sorted(folder.rglob('*.png'))
    return np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files])


def test_a_model_without_numbers_is_not_scored(score, finished, tmp_path):
    """Its labels would look like a bad model's."""
    checkpoint = torch.load(finished / 'iter_4.pth')
    checkpoint['state_dict']['decode_head.conv_seg.bias'][3] = float('nan')
    torch.save(checkpoint, tmp_path / 'diverged.pth')
    with pytest.raises(UserError, match=r'no finite numbers for .*bonn_0_leftImg8bit\.png'):
        score(checkpoint=tmp_path / 'diverged.pth')


def test_batches_and_frames_of_several_sizes(score, data_root):
    frames = 'cityscapes/{}/val/bonn/bonn_2_{}.png'
    for kind, suffix in (('leftImg8bit', 'leftImg8bit'), ('gtFine', 'gtFine_labelTrainIds')):
        first = data_root / frames.format(kind, suffix).replace('bonn_2', 'bonn_0')
        image = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(data_root / frames.format(kind, suffix)), image[:, :100])
    one, three = score(), score('--batch-size', '3')
    assert one['frames'] == three['frames'] == 3
    assert one['ground_truth_pixels'] == three['ground_truth_pixels']
    augmented = score('--batch-size', '3', '--aug-test')
    assert augmented['ground_truth_pixels'] == one['ground_truth_pixels']
    # products of matrices of another size may differ in their last bits
    differ = np.abs(np.subtract(one['intersection'], three['intersection'])).sum()
    assert differ <= 1e-3 * sum(one['ground_truth_pixels'])


def test_plain(score, tmp_path):
    """Without acceleration the numbers are the same, but for last bits."""
    fast = score()
    with backends.forced(None):  # what --plain forces, for a process, is lifted
        plain = score('--plain')
    differ = np.abs(np.subtract(plain['intersection'], fast['intersection'])).sum()
    assert differ <= 1e-3 * sum(fast['ground_truth_pixels'])
    logs = sorted((tmp_path / 'work').rglob('*.log'))
    assert ['acceleration: none' in log.read_text() for log in logs] == [False, True]


def test_a_config_is_laid_out_once(score, monkeypatch):
    """Where paths are long that takes 3 s, and mmengine asks for the text five times a run."""
    laid_out = []
    monkeypatch.setattr(
        'yapf.yapflib.yapf_api.FormatCode',
        lambda text, **_: laid_out.append(text) or (text, True),
    )
    score()
    assert len(laid_out) == 1


def test_half_precision(score, label):
    """It agrees in most pixels, though not in all: then it would not have been used."""
    exact, half = score(), score('--amp')
    assert (exact['amp'], half['amp']) == (False, True)
    assert exact['intersection'] != half['intersection']
    assert half['aAcc'] == pytest.approx(exact['aAcc'], abs=5)
    differ = (pixels(label('exact')) != pixels(label('half', '--amp'))).mean()
    assert 0 < differ < 0.2


def test_predict_computes_as_pseudo_labels_are_made(
    label, finished, source_config, data_root, tmp_path, monkeypatch
):
    (image,) = data_root.rglob('aachen_0_leftImg8bit.png')
    options = [str(finished / 'iter_4.pth'), str(image), '--out', str(tmp_path / 'seen'), '--amp']
    monkeypatch.setattr(sys, 'argv', ['predict.py', str(source_config), *options])
    runpy.run_path(str(REPOSITORY / 'tools/predict.py'))['main']()
    found = cv2.imread(str(tmp_path / f'seen/{image.stem}_classes.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, pixels(label('half', '--amp'))[0])
    assert (found != pixels(label('exact'))[0]).any()


@pytest.mark.parametrize('loop', ['InferenceValLoop', 'ValLoop'])
def test_an_evaluation_computes_as_a_test(score, run, loop):
    """In half precision, if the training has --amp; also where a config of version 0.1 says how."""
    folder = run('--amp', '--cfg-options', 'train_cfg.max_iters=2', f'val_cfg.type={loop}')
    found = killed_runs.logged(folder, 'mIoU')[-1]
    half, exact = (score(*amp, checkpoint=folder / 'iter_2.pth') for amp in (['--amp'], []))
    assert found['mIoU'] == pytest.approx(half['mIoU19'], abs=1e-3)
    assert half['mIoU19'] != exact['mIoU19']
    recorded = Config.fromfile(folder / 'config.py').val_cfg
    assert recorded == {'type': 'InferenceValLoop'}


@pytest.mark.slow
def test_compiled(score, tmp_path):
    """Once for each size, with the same numbers; code is not generated here."""
    exact = score()
    counters.clear()
    eager = ['--compile', '--cfg-options', 'uvpt.compile_backend=eager', 'uvpt.compile_limit=None']
    found = score(*eager, '--batch-size', '2')
    assert counters['stats']['unique_graphs'] > 0
    differ = np.abs(np.subtract(found['intersection'], exact['intersection'])).sum()
    assert differ <= 1e-3 * sum(exact['ground_truth_pixels'])
    logs = (tmp_path / 'work').rglob('*.log')
    assert sum('compiled in' in log.read_text() for log in logs) == 1


def test_without_a_compiler(label, monkeypatch):
    """One line says so, and the labels are there."""
    said = []
    monkeypatch.setattr(compiled_parts, 'print_log', lambda text, *_: said.append(text))
    with torch._inductor.config.patch({'cpp.cxx': ('/no/compiler',)}):
        folder = label('labels', '--compile')
    assert len(said) == 2
    assert said[0].startswith('compiling for images of 32 x 64 by inductor, at most 120 s')
    assert said[1].startswith('--compile: it goes on uncompiled: ')
    assert '/no/compiler' in said[1]
    assert len(pixels(folder)) == 3


def test_full_disk_while_writing_labels(label, monkeypatch):
    """One error, and what was not written is made by the next run."""
    written = []

    def full(path, array):
        if written:
            raise UserError(f'cannot write {path}: No space left') from OSError(28, 'No space left')
        written.append(path)
        write_png(path, array)

    with monkeypatch.context() as patch:
        patch.setattr(pseudo_labels, 'write_png', full)
        with pytest.raises(UserError, match='Free some space and run the same command again'):
            label('labels')
    folder = label('labels')
    assert len(pixels(folder)) == 3
    report = json.loads((folder / 'pseudo_labels.json').read_text())
    assert report['images'] == report['images_with_confidence'] == 3


def test_a_frame_is_noted_before_its_label_is_written(label, monkeypatch):
    """In whatever order the threads come to the frames."""
    orders = []

    def look_first(path, array):
        journal = path.parents[1] / 'pseudo_label_confidences.jsonl'
        noted = [json.loads(line)['frame'] for line in journal.read_text().splitlines()]
        orders.append(path.name.split('_gtFine')[0] in ' '.join(noted))
        write_png(path, array)

    monkeypatch.setattr(pseudo_labels, 'write_png', look_first)
    label('labels')
    assert orders == [True] * 3


def test_shown_predictions_that_cannot_be_written(score, tmp_path):
    (tmp_path / 'shown').write_text('a file, not a folder')
    with pytest.raises(UserError, match=r'cannot write .*shown'):
        score('--show-dir', str(tmp_path / 'shown'))
