"""Whether the adapted model is to be used, as an adaptation ends with it."""

import pytest

from mmseg_uvpt.adapting.adaptation_verdict import verdict_on


def selection(chosen: int) -> dict:
    candidates = [
        {'iteration': i, 'criteria': {'ensemble': 40.0 + i, 'confidence': -1.0}} for i in (0, 9)
    ]
    choices = {'guarded': {'iteration': chosen, 'reason': 'the guard is sure'}}
    return {'selected': chosen, 'choices': choices, 'candidates': candidates}


def comparison(source: float, adapted: float, interval: list | None) -> dict:
    found = {'source': source, 'adapted': adapted, 'difference': adapted - source}
    return {'mIoU2': {**found, 'interval': interval}, 'IoU': {'a': {}, 'b': {}}, 'frames': 12}


@pytest.mark.parametrize(
    ('chosen', 'compared', 'adapted', 'says'),
    [
        (9, None, True, 'by label-free criteria alone (the guard is sure). That is no score'),
        (0, None, False, 'Keep the source model: without labels no model of the training can'),
        (0, comparison(40, 41, [-2, 4]), False, '(the guard is sure); 40.0 -> 41.0 mIoU on 12'),
        (0, comparison(40, 45, [2, 8]), True, '+8.0), which could not be told without them.'),
        (0, comparison(40, 30, [-15, -5]), False, 'Keep the source model, it is better: 40.0'),
        (9, comparison(40, 45, [2, 8]), True, 'and better: 40.0 -> 45.0 mIoU on 12 labelled'),
        (9, comparison(40, 41, [-2, 4]), True, 'too few to tell the difference from chance'),
        (9, comparison(40, 39, [-2, 1]), True, '(-1.0, 95 % interval -2.0 to +1.0) are too few'),
        (9, comparison(40, 30, [-15, -5]), False, 'Keep the source model, it is better: 40.0 ->'),
        (9, comparison(40, 30, None), True, 'too few'),
    ],
)
def test_what_is_said(chosen, compared, adapted, says):
    found = verdict_on(selection(chosen), compared)
    assert found.adapted == adapted
    assert says in found.sentence
    assert found.iteration == (9 if adapted else 0)
    assert found.judged_by == ('labels' if compared else 'label-free criteria')
    assert found.difference == (compared and compared['mIoU2']['difference'])
    assert found.criteria['ensemble'] == (40.0, 49.0)  # of the last one where none was chosen


def test_classes_that_are_certainly_worse_are_named():
    compared = comparison(40, 45, [2, 8])
    compared['IoU'] = {'a': {'interval': [-9, -1]}, 'b': {'interval': [-9, 1]}, 'c': {}}
    found = verdict_on(selection(9), {**compared, 'mIoU3': compared['mIoU2']})
    assert found.worse == ['a']
    assert found.sentence.endswith('; worse in a.')
    worse = comparison(40, 30, [-15, -5])
    worse['IoU'] = compared['IoU']
    assert not verdict_on(selection(9), {**worse, 'mIoU3': worse['mIoU2']}).worse  # it is not used
