"""`test.py --format-only`: what the servers of Cityscapes and ACDC are given."""

import json
import shutil

import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as evaluation
import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.labels import trainId2label

import mmseg_uvpt
from mmseg_uvpt.engine.scripts import test
from mmseg_uvpt.errors import UserError

FRAME = 'berlin/berlin_000000_000019'
NAME = 'GP01_frame_000001_rgb_anon'


@pytest.fixture
def submit(finished, source_config, data_root, tmp_path):
    """Write a submission of what a data set reads; return its folder."""

    def run(*options: str, folder=tmp_path / 'submission', aug=()):
        where = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'work')]
        named = [str(folder)] if folder else []
        arguments = [str(source_config), str(finished / 'iter_4.pth'), *where, *aug]
        test.main([*arguments, '--format-only', *named, '--cfg-options', *options])
        return folder or tmp_path / 'work/submission'

    return run


@pytest.fixture
def images(data_root):
    """Add a test split without labels to Cityscapes, and one to ACDC."""
    image = next((data_root / 'cityscapes/leftImg8bit/val').rglob('*.png'))
    for path in (
        data_root / f'cityscapes/leftImg8bit/test/{FRAME}_leftImg8bit.png',
        data_root / f'acdc/rgb_anon/night/test/GP01/{NAME}.png',
    ):
        path.parent.mkdir(parents=True)
        shutil.copyfile(image, path)
    return image


TEST_SPLIT = 'test_dataloader.dataset.data_prefix.img_path=leftImg8bit/test'
ACDC = [
    f'test_dataloader.dataset.{entry}'
    for entry in (
        *('type=DrivingDataset', 'layout=acdc', 'data_root={}/acdc'),
        *('split=test', 'data_prefix=None'),
    )
]


def test_cityscapes_is_given_label_ids(submit, images, finished, source_config, monkeypatch):
    folder = submit(TEST_SPLIT, folder=None)
    found = sorted(path.name for path in folder.iterdir())
    assert found == [f'{FRAME.split("/")[1]}_leftImg8bit.png', 'predictions.json']
    ids = cv2.imread(str(folder / found[0]), cv2.IMREAD_UNCHANGED)
    classes = mmseg_uvpt.load(source_config, finished / 'iter_4.pth')(images).classes
    expected = np.vectorize(lambda i: trainId2label[i].id)(classes)
    assert ids.dtype == np.uint8
    np.testing.assert_array_equal(ids, expected)
    args = evaluation.CArgs()
    args.predictionPath, args.predictionWalk = str(folder), None
    truth = f'gtFine/test/{FRAME}_gtFine_labelIds.png'
    assert evaluation.getPrediction(args, truth) == str(folder / found[0])
    assert len(set(ids.ravel().tolist())) > 1


def test_acdc_is_given_train_ids(submit, images, data_root):
    cityscapes = submit(TEST_SPLIT)
    folder = submit(*(o.format(data_root) for o in ACDC), folder=cityscapes.with_name('acdc'))
    ids = cv2.imread(str(folder / f'{NAME}.png'), cv2.IMREAD_UNCHANGED)
    label_ids = cv2.imread(str(next(cityscapes.glob('berlin*'))), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(np.vectorize(lambda i: trainId2label[i].id)(ids), label_ids)
    assert json.loads((folder / 'predictions.json').read_text())['files'] == [f'{NAME}.png']


@pytest.mark.slow
def test_views_need_no_labels_either(submit, images):
    folder = submit(TEST_SPLIT, aug=['--aug-test'])
    assert len(list(folder.glob('*.png'))) == 1


def test_no_server_is_known(submit, data_root):
    changed = [
        *(f'test_dataloader.dataset.{e}' for e in ('type=DrivingDataset', 'data_prefix=None')),
        *('test_dataloader.dataset.layout=idd', 'test_dataloader.dataset.split=val'),
    ]
    with pytest.raises(UserError, match=r'of Cityscapes and ACDC ask for, and .* has IDD'):
        submit(*changed)


@pytest.mark.parametrize('option', [['--out', 'x.json'], ['--compare', 'x.pth']])
def test_nothing_is_scored(submit, option):
    with pytest.raises(UserError, match=f'scores nothing: leave out {option[0]}'):
        submit(TEST_SPLIT, aug=option)
