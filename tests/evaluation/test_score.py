"""What a score says beside its means."""

import numpy as np

from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.evaluation.score import Score


def test_predicted_pixels_and_counted_classes():
    """Of 10 pixels of road 6 are called road and 4 wall, which has no pixel; 5 of sky are right."""
    shape = (1, len(CLASSES))
    intersection, union, truth = np.zeros((3, *shape), np.int64)
    road, wall, sky = (CLASSES.index(name) for name in ('road', 'wall', 'sky'))
    truth[0, [road, sky]] = 10, 5
    intersection[0, [road, sky]] = 6, 5
    union[0, [road, wall, sky]] = 10, 4, 5
    score = Score(CLASSES, ImageCounts(intersection, union, truth))
    assert score.predicted[[road, wall, sky]].tolist() == [6, 4, 5]
    last = score.table().splitlines()[-3 - len(score.remarks()) : -len(score.remarks())]
    counted = next(line for line in last if 'classes counted' in line)
    assert [int(x) for x in counted.replace('|', ' ').split()[-3:]] == [2, 2, 2]
