"""What a run comes to: the worst that is known of it comes first."""

import pytest
from made_up_runs import FILES, comparison

from mmseg_uvpt.report.run_folder import RunFolder
from mmseg_uvpt.report.verdict import BAD, GOOD, NOTE, UNSCORED, UNSURE, statements

CHOSEN, SCORE = FILES['selection.json'], FILES['score.json']


def verdict(folder):
    return statements(RunFolder(folder, 'run'))


@pytest.mark.parametrize(
    ('changes', 'kind', 'told'),
    [
        ({}, GOOD, 'adapted is better'),
        ({'score_json': SCORE | {'comparison': comparison(-1, 'who knows')}}, UNSURE, 'who'),
        ({'selection_json': CHOSEN | {'warning': 'use selected.pth'}}, UNSURE, 'use selected.pth'),
        ({'selection_json': CHOSEN | {'selected': 0}}, BAD, 'iteration 2 was chosen'),
        ({'verdict_json': {'adapted': False, 'sentence': 'keep the source'}}, BAD, 'keep the'),
        (
            {'verdict_json': {'adapted': True, 'judged_by': 'labels', 'sentence': 'it is better'}},
            *(GOOD, 'it is better'),
        ),
        ({'verdict_json': {'adapted': True, 'sentence': 'no score'}}, UNSCORED, 'no score'),
        (
            {
                'verdict_json': {'adapted': True, 'judged_by': 'labels', 'sentence': 'labels'},
                'selection_json': CHOSEN | {'selected': 0},
            },
            *(GOOD, 'labels'),
        ),
    ],
)  # fmt: skip
def test_the_worst_comes_first(work_folder, changes, kind, told):
    first = verdict(work_folder(**changes))[0]
    assert first.kind == kind
    assert told in first.text


def scored(source, chosen, width=1.0, **changes):
    """Return a selection that chose iteration 2, whose scores have intervals of a width."""
    candidates = [
        {'iteration': i, 'score': score, 'interval': [score - width, score + width]}
        for i, score in ((0, source), (2, chosen))
    ]
    return CHOSEN | {'candidates': candidates, **changes}


@pytest.mark.parametrize(
    ('selection', 'kind'),
    [
        (scored(40.0, 45.0), GOOD),
        (scored(40.0, 41.0), UNSURE),  # the intervals overlap
        (
            scored(40.0, 45.0)
            | {'candidates': [{'iteration': 0, 'score': 40.0}, {'iteration': 2, 'score': 45.0}]},
            UNSURE,
        ),
        (scored(50.0, 45.0), BAD),
        (CHOSEN | {'candidates': []}, UNSCORED),
        (CHOSEN | {'candidates': [], 'rule': 'last'}, UNSURE),  # nothing judged it
    ],
)
def test_scores_of_the_selection_are_compared(work_folder, selection, kind):
    assert verdict(work_folder(score_json=None, selection_json=selection))[0].kind == kind


def test_a_test_counts_after_its_folder_was_moved(work_folder):
    worse = comparison(-9)
    worse['mIoU19'] = worse['mIoU19'] | {'interval': [-9.0, -1.0]}
    for checkpoint in ('/gone/run/selected.pth', 'run/selected.pth', 'selected.pth'):
        test = SCORE | {'comparison': worse, 'checkpoint': checkpoint}
        folder = work_folder(score_json=test)
        (folder / 'selected.pth').touch()
        assert verdict(folder)[0].kind == BAD


def test_a_test_without_the_source_is_not_told_to_be_none(work_folder):
    alone = {name: value for name, value in SCORE.items() if name != 'comparison'}
    folder = work_folder(score_json=alone, selection_json=CHOSEN | {'candidates': []})
    (folder / 'selected.pth').touch()
    assert verdict(folder)[0].kind == UNSURE


def test_worse_by_the_labels_is_bad_whatever_was_chosen(work_folder):
    worse = comparison(-9)
    worse['mIoU19'] = worse['mIoU19'] | {'interval': [-9.0, -1.0]}
    assert verdict(work_folder(score_json=SCORE | {'comparison': worse}))[0].kind == BAD


def test_without_a_choice_or_a_test_there_is_none(work_folder):
    run = {**FILES['run.json']}
    del run['finished']
    folder = work_folder(selection_json=None, score_json=None, run_json=run)
    (only,) = verdict(folder)
    assert only.kind == NOTE
    assert only.text == 'The training is not finished.'
