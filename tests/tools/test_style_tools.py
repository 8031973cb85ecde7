"""Style images for the demo, and the sheet that shows augmentations."""

import runpy
import subprocess
import sys

import cv2
import numpy as np
import pytest

from mmseg_uvpt.minicity.paintings import paint
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY

CONFIG = 'configs/demo/pretrain-gta_swin-nano.py'


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def data(tmp_path):
    """Return a data root with style images and one picture."""
    done = run('tools/make_style_images.py', tmp_path / 'style', '--count', 2)
    assert done.returncode == 0, done.stdout
    picture = np.full((50, 100, 3), 120, np.uint8)
    picture[:, 50:] = 30
    cv2.imwrite(str(tmp_path / 'picture.png'), picture)
    return tmp_path


def test_paintings_differ_and_come_again():
    assert paint(0, 0).shape == (512, 512, 3)
    assert np.array_equal(paint(0, 0), paint(0, 0))
    assert not np.array_equal(paint(0, 0), paint(0, 1))
    assert not np.array_equal(paint(0, 0), paint(1, 0))
    assert paint(0, 0).std() > 10


def test_style_images_that_are_there_are_kept(data):
    before = {path: path.stat().st_mtime_ns for path in (data / 'style').iterdir()}
    assert sorted(path.name for path in before) == ['00.png', '01.png']
    assert run('tools/make_style_images.py', data / 'style', '--count', 3).returncode == 0
    assert len(list((data / 'style').iterdir())) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


@pytest.mark.slow
def test_the_sheet_shows_each_augmentation(data):
    done = run(
        'tools/show_augmentations.py', CONFIG, data / 'picture.png', data / 'sheet.png',
        '--data-root', data,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    sheet = cv2.imread(str(data / 'sheet.png'))
    height, width = 320 + 28, 640
    assert sheet.shape == (height, 3 * width, 3)
    panels = [sheet[28:, i * width : (i + 1) * width].astype(int) for i in range(3)]
    assert np.abs(panels[0][:, :300] - 120).max() <= 2  # as it is
    for panel in panels[1:]:
        assert np.abs(panel - panels[0]).mean() > 1
        assert panel[:, 308:316].mean() > panel[:, 324:332].mean() + 40  # the edge stays
    assert np.abs(panels[1] - panels[2]).mean() > 1


@pytest.mark.parametrize(
    ('config', 'picture', 'message'),
    [
        ('configs/demo/pretrain_swin-nano.py', 'picture.png', 'has no augmentations'),
        (CONFIG, 'gone.png', 'gone.png does not exist'),
        ('configs/pretrain/source-gta_mit-b5_synthia.py', 'picture.png', '--no-deps imaug|adain'),
    ],
)
def test_what_is_missing_is_said(data, config, picture, message, monkeypatch, capfd):
    out = data / 'sheet.png'
    arguments = [config, data / picture, out, '--data-root', data]
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, 'argv', ['show_augmentations.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path('tools/show_augmentations.py', run_name='__main__')
    assert end.value.code != 0
    said = ''.join(capfd.readouterr())
    assert any(part in said for part in message.split('|'))
    assert said.count('\n') == 1
    assert not out.exists()
