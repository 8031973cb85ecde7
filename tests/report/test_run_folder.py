"""Which model of a work folder counts, and which tests are of it."""

from pathlib import Path

import numpy as np
import pytest
from made_up_runs import FILES

from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.evaluation.comparison import Comparison
from mmseg_uvpt.evaluation.score import Score
from mmseg_uvpt.report.class_scores import class_scores
from mmseg_uvpt.report.run_folder import RunFolder

CLASSES = ('road', 'sky')


def score_of(right: list[int]) -> Score:
    """Frames of 100 pixels of each class, of which so many are right; the rest are the other."""
    share = np.array(right)
    confusions = np.array([[share, 100 - share], [100 - share, share]]).transpose(2, 0, 1)
    return Score(CLASSES, ImageCounts.of(confusions))


def result(checkpoint: object, score: Score) -> dict:
    return {'checkpoint': str(checkpoint), **score.to_json()}


@pytest.mark.parametrize(
    ('selected', 'files', 'model'),
    [
        (2, ('selected.pth', 'iter_4.pth'), 'selected.pth'),
        (0, ('selected.pth', 'iter_4.pth'), 'iter_4.pth'),  # selected.pth is the source model
        (2, ('iter_4.pth', 'iter_2.pth'), 'iter_4.pth'),
        (2, ('iter_4.pth', 'best_mIoU19_iter_2.pth'), 'best_mIoU19_iter_2.pth'),
        (2, (), None),
    ],
)
def test_the_model_that_counts(work_folder, selected, files, model):
    folder = work_folder(
        selection_json=FILES['selection.json'] | {'selected': selected}, score_json=None
    )
    for file in files:
        (folder / file).touch()
    found = RunFolder(folder, 'run').checkpoint
    assert (found and Path(found).name) == model


def test_classes_are_those_of_the_tests_of_both_models(work_folder, tmp_path):
    """The source model's test may stand in another folder; that of another checkpoint is none."""
    source, adapted, last = score_of([60, 70, 80]), score_of([90, 80, 95]), score_of([1, 2, 3])
    folder = work_folder(
        score_json=result(tmp_path / 'run/iter_4.pth', last),
        chosen_json=result(tmp_path / 'run/iter_2.pth', adapted),
    )
    (folder / 'selected.pth').touch()
    other = tmp_path / 'other'
    other.mkdir()
    alone = class_scores(RunFolder(folder, 'run'), [], None)
    assert alone.is_single
    tested = RunFolder(other, 'other')
    tested.scores = {'score.json': result('source.pth', source)}
    found = class_scores(RunFolder(folder, 'run'), [tested], None)
    expected = Comparison(source, adapted, 2).to_json()
    assert found.basis.startswith('chosen.json: 3 frames')
    assert found.rows == {**expected['IoU'], 'mIoU2': expected['mIoU2']}


@pytest.mark.parametrize('other', ['augmented', 'images', 'nothing'])
def test_tests_of_two_kinds_are_not_compared(work_folder, tmp_path, other):
    """A source model that was scored otherwise, or on other images, is no baseline."""
    source, adapted = score_of([60, 70, 80]), score_of([90, 80, 95])
    if other == 'images':
        source = Score(CLASSES, ImageCounts.of(2 * np.array([[[60, 40], [40, 60]]] * 3)))
    folder = work_folder(score_json=result(tmp_path / 'run/iter_2.pth', adapted))
    (folder / 'selected.pth').touch()
    tested = RunFolder(tmp_path, 'other')
    changes = {'aug_test': True} if other == 'augmented' else {}
    tested.scores = {'score.json': result('source.pth', source) | changes}
    found = class_scores(RunFolder(folder, 'run'), [tested], None)
    assert found.is_single == (other != 'nothing')
