"""Confidences through the commands: ``test.py --calibration``, temperature, ``--abstain``."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import mmseg_uvpt
from mmseg_uvpt.datasets.files.image_files import read_image
from mmseg_uvpt.engine.scripts import test
from mmseg_uvpt.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPERATURE = 'model.test_cfg.temperature'


@pytest.fixture
def colder(finished, tmp_path):
    """The same model, surer of itself."""
    config = tmp_path / 'colder.py'
    config.write_text(
        f'_base_ = {str(finished / "config.py")!r}\nmodel = dict(test_cfg=dict(temperature=0.1))\n'
    )
    return mmseg_uvpt.load(config, finished / 'iter_4.pth')


@pytest.fixture
def image(data_root) -> Path:
    return next(data_root.rglob('aachen_0_leftImg8bit.png'))


@pytest.fixture
def score(tmp_path, finished, source_config, data_root):
    """Score the finished pretraining with its calibration; return the result."""

    def run(*options: str) -> dict:
        where = ['--work-dir', str(tmp_path / 'work'), '--data-root', str(data_root)]
        out = ['--out', str(tmp_path / 'score.json'), '--calibration']
        test.main([str(source_config), str(finished / 'iter_4.pth'), *where, *out, *options])
        return json.loads((tmp_path / 'score.json').read_text())

    return run


def test_a_test_says_whether_confidences_can_be_believed(score, model, data_root, capsys):
    found = score()
    told, errors = found['calibration'], np.zeros((15, 2))
    assert f'calibration error {100 * told["ece"]:.1f} %' in capsys.readouterr().out
    for path in data_root.rglob('val/bonn/*_leftImg8bit.png'):
        label = str(path).replace('leftImg8bit.png', 'gtFine_labelTrainIds.png')
        truth = cv2.imread(label.replace('leftImg8bit', 'gtFine'), cv2.IMREAD_UNCHANGED)
        result = model(path)
        right, cells = result.classes == truth, (15 * result.confidence).astype(int)
        for i in range(15):
            errors[i] += right[cells == i].sum(), result.confidence[cells == i].sum()
    pixels = 2 * 64 * 128
    assert told['ece'] == pytest.approx(
        np.abs(errors[:, 0] - errors[:, 1]).sum() / pixels, abs=1e-4
    )
    assert sum(each['pixels'] for each in told['bins']) == pixels
    assert told['coverage'][0]['accuracy'] == pytest.approx(found['aAcc'] / 100)
    colder = score('--cfg-options', f'{TEMPERATURE}=0.1')
    assert colder['intersection'] == found['intersection']
    assert colder['calibration']['ece'] > told['ece'] + 0.02
    assert colder['calibration']['temperature'] == pytest.approx(told['temperature'], rel=1e-3)


@pytest.mark.slow
def test_several_views_have_a_temperature(score):
    plain, colder = score('--aug-test'), score('--aug-test', '--cfg-options', f'{TEMPERATURE}=0.1')
    assert colder['intersection'] == plain['intersection']
    assert colder['calibration']['ece'] != plain['calibration']['ece']


def test_temperature_leaves_classes(model, colder, image, tmp_path):
    before, after = model(image), colder(image)
    np.testing.assert_array_equal(after.classes, before.classes)
    assert (after.confidence > before.confidence).all()
    np.testing.assert_array_equal(after.as_seen()[0], before.as_seen()[0])
    assert (after.as_seen()[1] > before.as_seen()[1]).all()
    colder.save_pretrained(tmp_path / 'shared')
    shared = mmseg_uvpt.from_pretrained(tmp_path / 'shared')
    np.testing.assert_array_equal(shared(image).confidence, after.confidence)


@pytest.mark.parametrize('wrong', ['0', '21', 'warm', 'True'])
def test_a_temperature_is_a_number_within_bounds(score, colder, tmp_path, wrong):
    with pytest.raises(UserError, match=r'temperature=.*: must be a number of 0\.05 to 20'):
        score('--cfg-options', f'{TEMPERATURE}={wrong}')
    colder.save_pretrained(tmp_path / 'shared')
    config = tmp_path / 'shared/config.py'
    value = repr(wrong) if wrong == 'warm' else wrong
    config.write_text(config.read_text().replace('temperature=0.1', f'temperature={value}'))
    with pytest.raises(UserError, match=r'must be a number of 0\.05 to 20'):
        mmseg_uvpt.from_pretrained(tmp_path / 'shared')


def test_abstaining(model, image):
    whole = model(image)
    threshold = float(np.median(whole.confidence))
    part = whole.abstained(threshold)
    unsure = whole.confidence < threshold
    assert 0.3 < unsure.mean() < 0.7
    np.testing.assert_array_equal(part.classes, np.where(unsure, 255, whole.classes))
    np.testing.assert_array_equal(part.overlay()[unsure], read_image(str(image))[unsure])
    np.testing.assert_array_equal(part.overlay()[~unsure], whole.overlay()[~unsure])
    assert whole.classes.max() < 19
    with pytest.raises(UserError, match=r'threshold=60: must be in 0\.\.1'):
        whole.abstained(60)


def test_predict_abstains(model, image, finished, source_config, tmp_path, monkeypatch, capsys):
    video, out = tmp_path / 'film.avi', tmp_path / 'seen'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*'MJPG'), 5, (128, 64))
    for _ in range(2):
        writer.write(cv2.imread(str(image)))
    writer.release()
    whole = model(image)
    threshold = round(float(np.median(whole.confidence)), 4)
    options = [str(finished / 'iter_4.pth'), str(image), str(video), '--out', str(out)]
    options += ['--abstain', str(threshold)]
    monkeypatch.setattr(sys, 'argv', ['predict.py', str(source_config), *options])
    runpy.run_path(str(REPOSITORY / 'tools/predict.py'))['main']()
    part = whole.abstained(threshold)
    classes = cv2.imread(str(out / f'{image.stem}_classes.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(classes, part.classes)
    np.testing.assert_array_equal(cv2.imread(str(out / f'{image.stem}.png')), part.overlay())
    record = json.loads((out / 'predictions.json').read_text())
    assert record['abstain'] == threshold
    assert record['kept_of_each'][image.stem] == (classes != 255).mean()
    of_video = record['kept_of_each']['film.mp4']
    assert 0 < of_video < 1
    assert record['kept'] == pytest.approx((record['kept_of_each'][image.stem] + 2 * of_video) / 3)
    assert f'{record["kept"]:.1%} of the pixels have a confidence' in capsys.readouterr().out
