"""What a record keeps is what the run's files say."""

import json
from pathlib import Path

import pytest
import torch

from mmseg_uvpt.checkpoints.hashes import weights_sha256
from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.demo.settings import METHODS, Method, Settings
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_json
from mmseg_uvpt.leaderboard.run_record import (
    path_of,
    require_same_source,
    run_record,
    source_record,
    write_record,
)
from mmseg_uvpt.selection.ranking import read_run

RUN = Settings(backbone='swin', seed=3, tuner='Head')
IMAGES, TYPICAL = 60, [37130, 7418, 22382, 0, 4, 887, 0, 143, 14774, 0] + 9 * [255]


def score(value: float) -> dict:
    """Make a score like `test.py`'s; ``train`` is absent."""
    iou = {name: value + i for i, name in enumerate(CLASSES)}
    numbers = [[n + round(value) for n in TYPICAL] for _ in range(IMAGES)]
    each = dict.fromkeys(('intersection', 'union', 'ground_truth_pixels'), numbers)
    named = {'classes': list(CLASSES), 'IoU': {**iou, 'train': None}, 'mIoU19': value}
    return {**named, 'of_each_frame': each}


@pytest.fixture
def root(tmp_path):
    """A finished run that evaluated twice; the first evaluation was the better one."""
    root = tmp_path / 'swin-seed3'
    folder = root / 'adapt-head'
    for name in ('pretrain/iter_9.pth', 'adapt-head/iter_240.pth'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (folder / 'best_mIoU19_iter_120.pth').touch()
    write_json(root / 'source-only/score.json', score(20.0))
    write_json(folder / 'score.json', score(24.0))
    write_json(folder / 'score_best.json', score(25.0))
    start = {'git': {'commit': 'abc', 'dirty': False}, 'parameters': {'trainable': 7}}
    run = {'starts': [{}, start], 'finished': '2026-11-28T19:46:58+00:00', 'iterations': 240}
    write_json(folder / 'run.json', run)
    write_json(folder / 'environment.json', {'processors': '2'})
    logs = folder / '20261128_191702/vis_data/scalars.json'
    logs.parent.mkdir(parents=True)
    times = [{'time': t, 'iter': i} for i, t in ((10, 9.0), (20, 2.0), (30, 3.0))]
    evaluation = {'mIoU': 1.0, 'time': 99.0, 'step': 30}
    logs.write_text('\n'.join([*map(json.dumps, [*times, evaluation]), '{"time": 0.1, "it']))
    save_source(root, 1.0)
    return root


def save_source(root: Path, weight: float) -> None:
    tensors = {'decode_head.conv_seg.weight': torch.full((1,), weight)}
    torch.save({'state_dict': tensors}, root / 'pretrain/iter_9.pth')


def test_what_a_run_says_is_kept(root):
    (root / RUN.folder / 'label_correction_truth.csv').write_text(
        'iterations,class,event,iou,mended,spoilt,still_wrong\n'
        '0,road,begin,0.5,0,0,0\n240,road,end,0.6,7,3,1\n'
    )
    record = run_record(RUN, root)
    assert record['row'] == 'uni-uvpt_Head'
    assert (record['method'], record['tuner']) == ('uni-uvpt', 'Head')
    assert record['mIoU'] == {'source': 20, 'last': 24, 'by target labels': 25}
    assert record['iteration'] == {'last': 240, 'by target labels': 120}
    assert record['IoU']['sidewalk'] == [21, 25, 26]
    assert record['IoU']['train'] == [None] * 3
    assert set(record['counts']) == {'240', '120'}
    assert record['counts']['120']['union'][0][0] == 37130 + 25
    assert record['seconds_per_iteration'] == 3
    of_road = {'iou': [0.5, 0.6], 'mended': [0, 7], 'spoilt': [0, 3], 'still_wrong': [0, 1]}
    assert record['label_correction'] == {
        **{'iterations': [0, 240], 'labels_miou': [50, 60], 'mended': [0, 7], 'spoilt': [0, 3]},
        'classes': {'road': of_road},
    }
    assert record['parameters'] == {'trainable': 7}
    assert record['git']['commit'] == 'abc'
    assert record['hardware'] == '2 CPU cores'
    made = weights_sha256({'decode_head.conv_seg.weight': torch.ones(1)})
    assert record['source_weights_sha256'] == source_record(RUN, root)['weights_sha256'] == made
    adapting = next(line for line in record['commands'] if ' train.py ' in line)
    assert '--work-dir WORK_DIR/swin-seed3/adapt-head ' in adapting
    assert str(root) not in json.dumps(record)


def test_a_record_is_small_and_read_as_it_was_written(root, tmp_path):
    write_json(root / 'adapt-head/selection.json', selection(guarded=60, best=120, selected=60))
    write_json(root / 'adapt-head/score_selected.json', score(23.0))
    for name, record in (('row', run_record(RUN, root)), ('source', source_record(RUN, root))):
        path = path_of(tmp_path, RUN, name)
        write_record(path, record)
        assert json.loads(path.read_text()) == record
        assert path.stat().st_size < 40_000
        assert path == tmp_path / f'swin/{name}_seed3.json'
    run = read_run(path_of(tmp_path, RUN, 'row'))  # as from its work folder
    assert run == read_run(root / 'adapt-head')


def selection(guarded: int, best: int, selected: int) -> dict:
    choices = {'last': 240, 'guarded': guarded, 'target labels': best}
    named = {rule: {'iteration': i, 'score': None} for rule, i in choices.items()}
    candidates = [
        {'iteration': i, 'criteria': {'ensemble': i}, 'score': i}
        for i in sorted({0, guarded, best, 240})
    ]
    return {'candidates': candidates, 'choices': named, 'selected': selected}


@pytest.mark.parametrize(
    ('guarded', 'best', 'selected', 'scores'),
    [
        (60, 120, 60, {'guarded': 23, 'by target labels': 25}),
        (0, 0, 0, {'guarded': 20, 'by target labels': 20}),  # nothing beats the source model
        (240, 120, 240, {'guarded': 24, 'by target labels': 25}),
        (60, 120, 120, {'by target labels': 25}),  # the weights of 60 were not kept
    ],
)
def test_checkpoints_are_those_of_the_selection(root, guarded, best, selected, scores):
    write_json(root / 'adapt-head/selection.json', selection(guarded, best, selected))
    write_json(root / 'adapt-head/score_selected.json', score(23.0))
    record = run_record(RUN, root)
    assert record['mIoU'] == {'source': 20, 'last': 24, **scores}
    assert '0' not in record['counts']  # the source's are in its own record


def test_what_an_adaptation_begins_with_may_be_another_one(root, monkeypatch):
    """The candidate of iteration 0 is then no source model."""
    monkeypatch.setitem(METHODS, 'self-training', Method(after='uni-uvpt'))
    (root / 'adapt-head').rename(root / 'self-training-head')
    (root / 'adapt').mkdir()
    (root / 'adapt/iter_240.pth').touch()
    write_json(root / 'adapt/score.json', score(22.0))
    write_json(
        root / 'self-training-head/selection.json', selection(guarded=0, best=120, selected=0)
    )
    record = run_record(RUN.but(method='self-training'), root)
    assert record['row'] == 'self-training_Head'
    assert record['mIoU'] == {'source': 20, 'last': 24, 'guarded': 22, 'by target labels': 25}
    assert record['counts']['0']['union'][0][0] == 37130 + 22


def test_scores_of_older_versions_are_to_be_made_anew(root):
    old = score(20.0)
    old.pop('of_each_frame')
    write_json(root / 'source-only/score.json', old)
    with pytest.raises(UserError, match=r'delete .*/swin-seed3/done/test_\*.json and run the same'):
        source_record(RUN, root)


def test_records_of_two_source_models_are_not_mixed(root, tmp_path):
    path = path_of(tmp_path, RUN, 'source')
    write_record(path, source_record(RUN, root))
    require_same_source(path, root)
    (root / 'pretrain/iter_9.pth').rename(tmp_path / 'iter_9.pth')
    with pytest.raises(UserError, match='holds no checkpoint'):
        require_same_source(path, root)
    save_source(root, 2.0)
    with pytest.raises(UserError, match=r'source_seed3.json is of another source model.*--records'):
        require_same_source(path, root)
