"""What is said of two models, from counts whose differences are known."""

import json

import numpy as np
import pytest

from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.evaluation.comparison import Comparison
from mmseg_uvpt.evaluation.score import Score


def score(right, classes=CLASSES):
    """Return the score of images with 100 pixels a class, so many of them right in each class.

    Wrong ones go to the next class.

    Args:
        right: (images, classes).
    """
    count = len(classes)
    matrices = np.zeros((len(right), count, count), np.int64)
    ids = np.arange(count)
    matrices[:, ids, ids] = right
    matrices[:, ids, (ids + 1) % count] = 100 - np.array(right)
    return Score(classes, ImageCounts.of(matrices))


def share_right(images, mean, seed=0):
    draw = np.random.default_rng(seed)
    return (mean + draw.integers(-5, 6, (images, 1)) + np.zeros((1, 19))).astype(int)


def test_better_and_worse_are_said_with_the_interval():
    low, high = score(share_right(10, 50)), score(share_right(10, 60))
    better = Comparison(low, high, 19)
    points = high.means[19] - low.means[19]
    found = better.means[19]
    assert 0 < found.interval.low < points < found.interval.high
    bounds = f'+{found.interval.low:.2f} to +{found.interval.high:.2f}'
    assert better.sentence() == (
        f'adapted is better than source by {points:.2f} mIoU (95 % interval: {bounds}), 10 images'
    )
    assert better.table().endswith(f'\n{better.sentence()}')
    worse = Comparison.by('mIoU16', high, low).sentence()
    assert Comparison.by('IoU.road', high, low).judged == 19
    assert worse.startswith(f'adapted is worse than source by {points:.2f} mIoU16 (95 % interval')
    assert f'-{found.interval.high:.2f} to -{found.interval.low:.2f}' in worse


def test_images_that_disagree_tell_no_difference():
    mixed = np.repeat([[40], [60]], 5, axis=0) + np.zeros((1, 19), int)
    found = Comparison(score(mixed), score(mixed[::-1]), 19).sentence()
    assert found.startswith('no difference between adapted and source can be told from 10 images (')
    same = Comparison(score(mixed), score(mixed), 19).sentence()
    assert '(95 % interval: +0.00 to +0.00 mIoU)' in same


def test_one_image_cannot_tell():
    found = Comparison(score(share_right(1, 40)), score(share_right(1, 60)), 19)
    cannot = 'cannot tell adapted from source: take 5 or more'
    assert found.sentence() == f'1 image with labels {cannot}'
    assert found.to_json()['mIoU19']['interval'] is None
    empty = [score(share_right(2, mean)) for mean in (40, 60)]
    for each in empty:
        for counts in (each.counts.intersection, each.counts.union, each.counts.truth):
            counts.setflags(write=True)
            counts[1] = 0
    assert Comparison(*empty, 19).sentence() == f'1 image with labels {cannot}'


def test_all_class_sets_and_classes_are_in_table_and_file():
    source, adapted = share_right(6, 50), share_right(6, 50)
    adapted[:, CLASSES.index('truck')] += 30
    source[:, CLASSES.index('wall')] += 10
    compared = Comparison(score(source), score(adapted), 19)
    stored = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    for size in (19, 16, 13):
        found = stored[f'mIoU{size}']
        assert found['adapted'] - found['source'] == pytest.approx(found['difference'])
        assert found['source'] == compared.source.means[size]
    assert stored['IoU']['truck']['interval'][0] > 0 > stored['IoU']['wall']['interval'][1]
    assert stored['IoU']['road'] == {
        **dict.fromkeys(('source', 'adapted'), compared.source.iou[0]),
        'difference': 0,
        'interval': [0, 0],
    }
    assert stored['frames'] == 6
    text = compared.table()
    assert all(f'| {name} ' in text for name in (*CLASSES, 'mIoU19', 'mIoU16', 'mIoU13'))


def test_an_absent_class_has_no_difference():
    compared = Comparison(*(score(share_right(3, mean), CLASSES) for mean in (40, 60)), 19)
    for each in (compared.source, compared.adapted):
        for counts in (each.counts.intersection, each.counts.union, each.counts.truth):
            counts.setflags(write=True)
            counts[:, 7] = 0
    assert compared.to_json()['IoU'][CLASSES[7]] == dict.fromkeys(
        ('source', 'adapted', 'difference', 'interval')
    )
    (line,) = [line for line in compared.table().splitlines() if CLASSES[7] in line]
    assert [cell.strip() for cell in line.split('|')[2:-1]] == ['-'] * 4
