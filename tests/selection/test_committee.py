"""Ranks, classes that vanish, and the guard."""

import json

import numpy as np
import pytest
import torch

from mmseg_uvpt.selection.committee import (
    COMMITTEE,
    GUARDS,
    INDEPENDENT,
    Candidate,
    Choice,
    choose_by,
    choose_guarded,
    mean_ranks,
    preferred,
    vanished_classes,
    with_vanished,
)
from mmseg_uvpt.selection.conclusion import conclude
from mmseg_uvpt.selection.criteria import count_agreement

CLASSES = ('road', 'sky', 'person')
IMAGES = 20


def candidates(*values: float) -> list[Candidate]:
    """Return the source and others, which all criteria of the committee value alike."""
    return [Candidate(100 * i, dict.fromkeys(COMMITTEE, v)) for i, v in enumerate(values)]


@pytest.fixture
def labels():
    """A reference, and a function that gets a share of its pixels wrong."""
    draw = torch.Generator().manual_seed(0)
    reference = torch.randint(0, 3, (IMAGES, 8, 8), generator=draw)

    def with_errors(share: float, seed: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(seed)
        wrong = torch.rand(reference.shape, generator=draw) < share
        return torch.where(wrong, (reference + 1) % 3, reference)

    return reference, with_errors


def evidence(reference, *predictions):
    pixels = [torch.bincount(x.flatten(), minlength=3).numpy() for x in predictions]
    counts = [count_agreement(x, reference, 3) for x in predictions]
    return pixels, dict.fromkeys(GUARDS, counts)


def guarded(given: list[Candidate], pixels: list, guards: dict) -> Choice:
    return choose_guarded(with_vanished(given, pixels, CLASSES), guards, CLASSES)


def test_vanished_classes():
    of_source = np.array([9_000, 980, 15, 5])  # the last is below a thousandth
    assert vanished_classes(np.array([9_500, 500, 0, 0]), of_source) == [2]
    assert vanished_classes(np.array([9_500, 97, 2, 0]), of_source) == [1]
    assert vanished_classes(of_source, of_source) == []


def test_mean_ranks():
    first, second, third = (
        Candidate(0, {'a': 1.0, 'b': 5.0, 'c': 1.0}),
        Candidate(1, {'a': 3.0, 'b': 5.0}, vanished=('car',)),
        Candidate(2, {'a': 2.0, 'b': 7.0, 'c': 9.0}),
    )
    # a: 3, 1, 2; b: 2.5, 2.5, 1; c is not known of all; vanished: 1.5, 3, 1.5
    found = mean_ranks([first, second, third], ('a', 'b', 'c'))
    assert found.tolist() == pytest.approx([7 / 3, 6.5 / 3, 4.5 / 3])


def test_the_guard_lets_pass_what_is_surely_better(labels):
    reference, with_errors = labels
    found = guarded(
        candidates(1, 2), *evidence(reference, with_errors(0.3, 1), with_errors(0.1, 2))
    )
    assert found.index == 1
    assert 'at least' in found.reason


@pytest.mark.parametrize('share', [0.3, 0.5])
def test_the_guard_holds_back_the_rest(labels, share):
    """What is as good or worse, whatever the committee says."""
    reference, with_errors = labels
    found = guarded(
        candidates(1, 2), *evidence(reference, with_errors(0.3, 1), with_errors(share, 2))
    )
    assert found.index == 0
    assert 'not above 0' in found.reason


def test_the_committee_does_not_rank_the_source(labels):
    """A source model that sees next to nothing is dense, as at night; the guard asks about it."""
    reference, with_errors = labels
    found = guarded(
        candidates(3, 2, 1),
        *evidence(reference, *(with_errors(share, i) for i, share in enumerate((0.6, 0.1, 0.1)))),
    )
    assert (found.index, found.reason[:36]) == (1, 'the committee prefers iteration 100,')


def test_preferred_is_the_densest_of_equal_ranks():
    source, first, second = candidates(9, 1, 2)
    first.criteria['ensemble'] = 3.0
    assert preferred([source, first, second]) == 2
    second.vanished = ('person',)
    assert preferred([source, first, second]) == 1
    assert guarded([source], [np.ones(3)], {}).index == 0


def test_a_class_that_vanishes_counts_against_a_candidate(labels):
    """As many points as its IoU is worth at most."""
    reference, with_errors = labels
    source, better = with_errors(0.6, 1), with_errors(0.05, 2)
    without_person = torch.where(better == 2, 0, better)
    passed = guarded(candidates(1, 2), *evidence(reference, source, better))
    held = guarded(candidates(1, 2), *evidence(reference, source, without_person))
    assert (passed.index, held.index) == (1, 0)
    assert 'where person vanished' in held.reason
    assert 'at least, 33.33 taken off for that, which is not above 0' in held.reason


def test_the_guard_goes_by_the_reference_that_says_least(labels):
    reference, with_errors = labels
    source, other = with_errors(0.3, 1), with_errors(0.1, 2)
    pixels, better = evidence(reference, source, other)
    worse = evidence(source, source, other)[1]
    for name in GUARDS:
        guards = better | {name: worse[name]}
        found = guarded(candidates(1, 2), pixels, guards)
        assert (found.index, f'its {name} less that of' in found.reason) == (0, True)


def test_where_the_preferred_one_fails_the_closest_to_the_independent_reference_is_asked(labels):
    """Of a run that was better at its beginning; and the source stays where that one fails, too."""
    reference, with_errors = labels
    source, early, late = with_errors(0.3, 1), with_errors(0.1, 2), with_errors(0.5, 3)
    three = candidates(1, 2, 3)
    for candidate, agreement in zip(three, (70, 90, 50), strict=True):
        candidate.criteria[INDEPENDENT] = agreement
    found = guarded(three, *evidence(reference, source, early, late))
    assert found.index == 1
    assert 'the committee prefers iteration 200, but its ' in found.reason
    assert f'; iteration 100 has the largest {INDEPENDENT}, and its ' in found.reason
    found = guarded(three, *evidence(reference, source, with_errors(0.4, 2), late))
    assert found.index == 0
    assert found.reason.count('which is not above 0') == 2


def test_without_anything_to_guard_by_the_source_is_chosen(labels):
    reference, with_errors = labels
    pixels, _ = evidence(reference, with_errors(0.3, 1), with_errors(0.1, 2))
    found = guarded(candidates(1, 2), pixels, {})
    assert found.index == 0
    one = {'ensemble': [count_agreement(reference[:1], reference[:1], 3)] * 2}  # a single image
    assert guarded(candidates(1, 2), pixels, one).index == 0


def test_the_candidates_alone_cannot_tell_whether_they_are_better(labels):
    """Of a model without batch norms there is no reference but the candidates' ensemble."""
    reference, with_errors = labels
    pixels, guards = evidence(reference, with_errors(0.3, 1), with_errors(0.1, 2))
    guards.pop(INDEPENDENT)
    found = guarded(candidates(1, 2), pixels, guards)
    assert (found.index, 'nothing can tell' in found.reason) == (0, True)


def test_the_best_by_one_number():
    found = [Candidate(0, {'confidence': -2.0}, 40.0), Candidate(1, {}, 42.0), Candidate(2)]
    assert choose_by(found, 'target labels').index == 1
    assert choose_by(found, 'confidence').index == 0
    assert choose_by(found, 'information') is None
    ties = [Candidate(0, {}, 40.0), Candidate(1, {}, 40.0)]
    assert choose_by(ties, 'target labels').index == 0


def conclusion(select, scores, labels=None):
    found = candidates(*range(len(scores)))
    for candidate, score in zip(found, scores, strict=True):
        candidate.score = score
    given = ()
    if labels is not None:
        reference, with_errors = labels
        shares = np.linspace(0.4, 0.05, len(scores))
        predictions = [with_errors(share, i) for i, share in enumerate(shares)]
        given = evidence(reference, *predictions)
    return conclude(select, found, CLASSES, 'mIoU19', *given)


@pytest.mark.parametrize(
    ('select', 'scores', 'rule', 'selected'),
    [
        ('target labels', (40.0, 45.0, 43.0), 'target labels', 100),
        ('target labels', (40.0, 35.0, 33.0), 'target labels', 0),
        ('target labels', (None, None, None), 'guarded', 200),
        ('guarded', (40.0, 45.0, 43.0), 'guarded', 200),
        ('last', (40.0, 35.0, 33.0), 'last', 200),
        ('ensemble', (None, None, None), 'ensemble', 200),
        ('agreement_bank', (None, None, None), 'guarded', 200),
    ],
)
def test_conclusion(labels, select, scores, rule, selected):
    found = conclusion(select, scores, labels)
    assert (found.rule, found.selected.iteration) == (rule, selected)
    assert f'of 3 candidates by {rule!r}' in found.sentence()
    assert (f'{select!r} was asked for' in found.sentence()) == (rule != select)
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record['selected'] == selected
    assert [row['score'] for row in record['candidates']] == list(scores)
    assert ('target labels' in record['choices']) == (scores[0] is not None)


def test_a_record_names_the_classes_that_vanished(labels):
    reference, with_errors = labels
    source, better = with_errors(0.3, 1), with_errors(0.1, 2)
    without_person = torch.where(better == 2, 0, better)
    given = evidence(reference, source, better, without_person)
    found = conclude('guarded', candidates(1, 2, 3), CLASSES, 'mIoU19', *given).to_json()
    assert [row['vanished'] for row in found['candidates']] == [[], [], ['person']]


def test_without_images_labels_or_the_last_count():
    assert conclusion('guarded', (None, None)).rule == 'last'
    assert conclusion('target labels', (3.0, 2.0)).selected.iteration == 0


def test_warnings(labels):
    assert conclusion('target labels', (40.0, 45.0), labels).warning() is None
    harm = conclusion('target labels', (45.8, 47.0, 42.6), labels).warning()
    assert harm == (
        'by the labels the last model is 3.2 mIoU19 below the source model: use selected.pth'
    )
    nothing = conclusion('target labels', (45.8, 42.6), labels).warning()
    assert 'nothing beats the source model: it has 45.8 mIoU19, the last model 42.6' in nothing
    assert 'Use selected.pth' in nothing
    other = conclusion('last', (45.8, 42.6), labels).warning()
    assert "Use the source model, which 'last' did not choose" in other
    assert conclusion('guarded', (None, None), labels).warning() is None


def test_what_was_chosen_may_be_below_the_source(labels):
    """Though the last model is not."""
    found = conclusion('ensemble', (50.0, 52.0, 45.0))
    found.candidates.append(Candidate(300, {}, 51.0))
    found = conclude('ensemble', found.candidates, CLASSES, 'mIoU19')
    assert found.selected.iteration == 200
    assert found.warning() == (
        'by the labels the chosen model is 5.0 mIoU19 below the source model: use that of 100, '
        "which 'ensemble' did not choose"
    )
    assert 'ensemble 200 (45.00)' in found.sentence()


def test_a_warning_without_labels(labels):
    reference, with_errors = labels
    given = evidence(reference, with_errors(0.3, 1), with_errors(0.3, 2))
    found = conclude('target labels', candidates(1, 2), CLASSES, 'mIoU19', *given)
    assert 'without labels nothing can be told to beat the source model' in found.warning()
    assert "chosen of 2 candidates by 'guarded'" in found.sentence()
