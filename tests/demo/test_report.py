"""What the demo reports is what the stages' files say."""

import json

import cv2
import numpy as np
import pytest

from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.demo import report
from mmseg_uvpt.demo.settings import Settings
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_json, write_png


def score(value: float) -> dict:
    """Make a score like `test.py`'s; ``train`` is absent."""
    iou = {name: value + i for i, name in enumerate(CLASSES)}
    return {'IoU': {**iou, 'train': None}, **{f'mIoU{n}': value + n for n in (19, 16, 13)}}


@pytest.fixture
def finished(tmp_path):
    """A finished demo run of the smallest kind."""
    frames, labels = (tmp_path / f'data/cityscapes/{n}/val/b' for n in ('leftImg8bit', 'gtFine'))
    for i in range(5):
        image = np.full((16, 32, 3), i, np.uint8)
        write_png(frames / f'f{i}_leftImg8bit.png', image)
        write_png(labels / f'f{i}_gtFine_labelTrainIds.png', np.full((16, 32), i, np.uint8))
        for folder in ('source-only', 'adapt'):
            write_png(tmp_path / folder / f'predictions/b/f{i}_leftImg8bit.png', image)
    write_json(tmp_path / 'source-only/score.json', score(10.0))
    write_json(tmp_path / 'adapt/score.json', score(13.5))
    write_json(tmp_path / 'adapt/run.json', {'starts': [{'git': {'commit': 'abc'}}]})
    (tmp_path / 'adapt/label_correction.csv').write_text(
        'iteration,class,event,threshold,pixels_changed,iou\n'
        '10,road,start,0.9,0,0.5\n20,road,,0.9,7,0.6\n29,sky,end,,5,\n'
    )
    (tmp_path / 'adapt/label_correction_curve.csv').write_text(
        'iteration,class,iou\n10,road,0.5\n20,road,0.6\n'
    )
    (tmp_path / 'adapt/label_correction_truth.csv').write_text(
        'iterations,class,event,iou,mended,spoilt\n'
        '0,road,begin,0.5,0,0\n0,sky,begin,0.3,0,0\n0,car,begin,,0,0\n'
        '30,road,,0.52,9,1\n30,sky,,0.2,1,12\n30,car,,,0,0\n'
    )
    return tmp_path


def test_summary(finished):
    seconds = {'render': 30.0, 'pretrain': 60.0, 'adapt': 80.0, 'test_adapt': 10.0}
    summary = report.summarise(Settings(seed=3), finished, seconds)
    assert summary['source_miou'] == 29
    assert summary['adapted_miou'] == 32.5
    assert summary['gain'] == 3.5
    assert summary['per_class']['sidewalk'] == {'source': 11, 'adapted': 14.5}
    assert summary['per_class']['train'] == {'source': None, 'adapted': None}
    assert summary['label_correction'] == {
        'pixels_changed': 12,
        'classes_changed': ['road', 'sky'],
        'labels_miou_before': pytest.approx(40),
        'labels_miou_after': pytest.approx(36),
        'mended': 10,
        'spoilt': 13,
    }
    assert summary['seed'] == 3
    assert summary['seconds'] == seconds
    assert summary['total_seconds'] == 180
    json.dumps(summary)

    lines = report.table(summary).splitlines()
    cells = next(s for s in lines if 'sidewalk' in s).split()
    assert cells[1::2] == ['sidewalk', '11.0', '14.5', '+3.5']
    assert '+3.5' in next(s for s in lines if '19 classes' in s)
    assert 'absent' in next(s for s in lines if '| train' in s)
    said = report.sentence(summary)
    assert 'Trained for 2.3 minutes of 3.0' in said
    assert '29.0 -> 32.5 (+3.5)' in said
    assert 'from 40.0 to 36.0 mIoU, 10 pixels mended and 13 spoilt: the correction spoils' in said
    summary['label_correction']['mended'] = 13
    assert 'spoils' not in report.sentence(summary)


def test_picture(finished):
    path = finished / 'report.png'
    report.draw(finished, finished / 'adapt', path)
    picture = cv2.imread(str(path))
    assert picture.shape[1] > 1000
    assert picture.std() > 10


def test_files_of_others_in_the_work_folder(tmp_path):
    report.refuse_other_files(tmp_path / 'none')
    (tmp_path / 'report.png').write_bytes(b'mine')
    with pytest.raises(UserError, match=r'report\.png exists, .* choose another --work-dir'):
        report.refuse_other_files(tmp_path)
    (tmp_path / 'summary.json').write_text('{"mine": 1}')
    with pytest.raises(UserError, match=r'summary\.json exists, '):
        report.refuse_other_files(tmp_path)
    (tmp_path / 'summary.json').write_text('{"source_miou": 1}')
    report.refuse_other_files(tmp_path)
