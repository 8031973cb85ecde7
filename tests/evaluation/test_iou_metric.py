"""The metric as mmengine drives it, against direct counts over whole frames."""

import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import PixelData
from mmseg.datasets import CityscapesDataset
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.iou_metric import DomainIoUMetric

CLASSES = CityscapesDataset.METAINFO['classes']
NOT_IN_16 = {'terrain', 'truck', 'train'}
NOT_IN_13 = NOT_IN_16 | {'wall', 'fence', 'pole'}


def make_frames(sizes, absent=(), seed=0):
    """Return (prediction, truth) arrays; classes in ``absent`` are in no truth."""
    draw = np.random.default_rng(seed)
    allowed = [i for i in range(19) if i not in absent]
    for size in sizes:
        truth = draw.choice(allowed, size)
        noise = draw.choice(allowed, size)
        prediction = np.where(draw.random(size) < 0.4, noise, truth)
        truth[draw.random(size) < 0.2] = 255
        yield prediction, truth


def evaluate(frames, **kwargs):
    """Run the registered metric over frames through mmengine's Evaluator, in batches of two."""
    evaluator = Evaluator(DomainIoUMetric(**kwargs))
    evaluator.dataset_meta = dict(classes=CLASSES)
    samples = [sample(*frame) for frame in frames]
    for start in range(0, len(samples), 2):
        evaluator.process(samples[start : start + 2], None)
    return evaluator.evaluate(len(samples))


def sample(prediction, truth):
    """Wrap one frame as mmseg's models do."""
    fields = {'pred_sem_seg': prediction, 'gt_sem_seg': truth}
    data = SegDataSample(metainfo=dict(img_path='image.png', seg_map_path='label.png'))
    for name, label in fields.items():
        data.set_data({name: PixelData(data=torch.from_numpy(label)[None])})
    return data


def direct_iou(frames):
    """Count with one mask a class over all frames; NaN where the truth lacks the class."""
    iou = {}
    for i, name in enumerate(CLASSES):
        intersection = union = there = 0
        for prediction, truth in frames:
            valid = truth != 255
            intersection += ((prediction == i) & (truth == i)).sum()
            union += (((prediction == i) | (truth == i)) & valid).sum()
            there += (truth == i).sum()
        iou[name] = 100 * intersection / union if there else float('nan')
    return iou


def test_scores_equal_a_direct_count_over_frames_of_several_sizes():
    frames = list(make_frames([(40, 60), (33, 17), (1, 90), (40, 60), (64, 64)]))
    expected = direct_iou(frames)
    metrics = evaluate(frames)
    assert {name: metrics[f'IoU.{name}'] for name in CLASSES} == pytest.approx(expected)
    mean = {
        size: np.mean([v for k, v in expected.items() if k not in left_out])
        for size, left_out in ((19, set()), (16, NOT_IN_16), (13, NOT_IN_13))
    }
    assert len({round(value, 6) for value in mean.values()}) == 3  # the three can be told apart
    assert {size: metrics[f'mIoU{size}'] for size in mean} == pytest.approx(mean)
    assert metrics['mIoU'] == metrics['mIoU19']
    right = sum(((p == t) & (t != 255)).sum() for p, t in frames)
    assert metrics['aAcc'] == pytest.approx(100 * right / sum((t != 255).sum() for _, t in frames))


def test_the_interval_is_in_scalars_table_and_file(tmp_path, caplog):
    frames, out = list(make_frames([(30, 40)] * 6)), tmp_path / 'iou.json'
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        metrics = evaluate(frames, out_json=str(out))
    finally:
        logger.removeHandler(caplog.handler)
    low, high = metrics['mIoU_low'], metrics['mIoU_high']
    assert low < metrics['mIoU'] < high < low + 5
    stored = json.loads(out.read_text())
    assert stored['intervals']['mIoU19'] == [low, high]
    assert stored['intervals']['mIoU13'] != [low, high]
    assert f'95 % interval, 6 frames | {low:.2f} to {high:.2f} |' in caplog.text
    each = stored['of_each_frame']
    assert np.sum(each['intersection'], axis=0).tolist() == stored['intersection']
    car, (prediction, truth) = CLASSES.index('car'), frames[4]
    assert each['ground_truth_pixels'][4][car] == (truth == car).sum()
    known = truth != 255
    assert each['union'][4][car] == (((prediction == car) & known) | (truth == car)).sum()

    metrics = evaluate(frames[:1], out_json=str(out))
    assert not {'mIoU_low', 'mIoU_high'} & {*metrics}
    assert json.loads(out.read_text())['intervals'] == dict.fromkeys(['mIoU19', 'mIoU16', 'mIoU13'])


def test_absent_classes_are_left_out_and_named(tmp_path, caplog):
    terrain, train, wall = (CLASSES.index(name) for name in ('terrain', 'train', 'wall'))
    frames = list(make_frames([(50, 50)] * 3, absent=(terrain, train, wall)))
    frames[1][0][frames[1][1] == 0] = wall  # predicted, though in no truth
    expected = direct_iou(frames)
    out = tmp_path / 'new' / 'iou.json'
    logger = MMLogger.get_current_instance()  # does not propagate to the root logger
    logger.addHandler(caplog.handler)
    try:
        metrics = evaluate(frames, out_json=str(out))
    finally:
        logger.removeHandler(caplog.handler)

    for absent in ('terrain', 'train', 'wall'):
        assert f'IoU.{absent}' not in metrics
    for size, left_out in ((19, set()), (16, NOT_IN_16), (13, NOT_IN_13)):
        assert metrics[f'mIoU{size}'] == pytest.approx(
            np.nanmean([value for name, value in expected.items() if name not in left_out])
        )
    assert 'absent: wall, terrain, train (' in caplog.text
    assert 'absent, yet predicted somewhere: wall' in caplog.text

    stored = json.loads(out.read_text(), parse_constant=pytest.fail)  # no NaN: it is not JSON
    assert stored['absent'] == ['wall', 'terrain', 'train']
    assert stored['absent_but_predicted'] == ['wall']
    assert stored['IoU']['wall'] is stored['IoU']['train'] is None
    assert stored['IoU']['road'] == pytest.approx(expected['road'])
    assert stored['mIoU16'] == pytest.approx(metrics['mIoU16'])
    assert 'wall' not in stored['classes_of_mean']['mIoU19']
    assert len(stored['classes_of_mean']['mIoU13']) == 13
    assert stored['frames'] == 3
    car = CLASSES.index('car')
    assert stored['ground_truth_pixels'][car] == sum((t == car).sum() for _, t in frames)
    assert stored['intersection'][car] / stored['union'][car] == pytest.approx(
        expected['car'] / 100
    )


def test_counts_stay_exact_above_what_float32_holds(tmp_path):
    metric = DomainIoUMetric(out_json=str(tmp_path / 'iou.json'))
    metric.dataset_meta = dict(classes=CLASSES)
    frame = np.zeros((19, 19), np.int64)
    frame[0, 0] = 2**24 + 1
    metric.compute_metrics([frame, frame])
    assert json.loads((tmp_path / 'iou.json').read_text())['intersection'][0] == 2**25 + 2


def test_a_mean_without_any_class_present_is_null_in_the_file(tmp_path):
    terrain = CLASSES.index('terrain')
    label = np.full((2, 2), terrain)
    metrics = evaluate([(label, label)], out_json=str(tmp_path / 'iou.json'))
    assert metrics['mIoU19'] == 100
    assert np.isnan(metrics['mIoU16'])
    assert json.loads((tmp_path / 'iou.json').read_text())['mIoU16'] is None


@pytest.mark.parametrize(
    ('prediction', 'truth', 'message'),
    [
        ([[0, 1]], [[0, 34]], 'label.png: the ground truth has values 34.*convert_datasets'),
        ([[0, 1]], [[0]], 'label.png: the prediction is 1 x 2, the ground truth is 1 x 1'),
        ([[0, 1]], [[255, 255]], '1 frames were evaluated and none has a pixel of ground truth'),
    ],
)
def test_bad_labels_are_named_with_the_cure(prediction, truth, message, tmp_path):
    out = tmp_path / 'iou.json'
    out.write_text('from an earlier run')
    with pytest.raises(UserError, match=message):
        evaluate([(np.array(prediction), np.array(truth))], out_json=str(out))
    assert out.read_text() == 'from an earlier run'


def test_a_frame_without_ground_truth_is_named():
    metric = DomainIoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    with pytest.raises(UserError, match=r'street\.png: no ground truth'):
        metric.process({}, [dict(img_path='street.png', pred_sem_seg=dict(data=torch.zeros(1)))])


def test_configs_find_it_by_name():
    assert METRICS.get('DomainIoUMetric') is DomainIoUMetric
