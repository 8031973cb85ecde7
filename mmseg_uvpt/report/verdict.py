"""What a run comes to, in one word and a few sentences."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mmseg_uvpt.report.class_scores import ClassScores
from mmseg_uvpt.report.run_folder import RunFolder
from mmseg_uvpt.selection.committee import LAST, TARGET_LABELS

# from what must not be missed to what is merely said
BAD, UNSURE, UNSCORED, GOOD, NOTE = KINDS = 'bad', 'unsure', 'unscored', 'good', 'note'
HEADINGS = {
    BAD: 'Do not use the adapted model: use the source model',
    UNSURE: 'Not shown to be better than the source model',
    UNSCORED: 'Use the adapted model, by label-free criteria; no labels have scored it',
    GOOD: 'Use the adapted model',
    NOTE: 'No verdict',
}


class Statement(NamedTuple):
    """A sentence on a run, and what it rests on.

    Args:
        kind: one of `KINDS`.
        basis: how it is known.
        text: the sentence.
    """

    kind: str
    basis: str
    text: str


def statements(run: RunFolder, scores: ClassScores | None = None) -> list[Statement]:
    """Return all that is known of whether an adaptation helped; what matters most comes first.

    Args:
        run: its files.
        scores: of its model, if there are some.
    """
    found = []
    if run.verdict:
        kind = GOOD if run.verdict.get('adapted') is True else BAD
        if kind == GOOD and run.verdict.get('judged_by') != 'labels':
            kind = UNSCORED
        found.append(Statement(kind, 'Verdict', str(run.verdict.get('sentence', ''))))
    compared = [s for s in run.scores.values() if isinstance(s.get('comparison'), dict)]
    for score in compared:
        # of another checkpoint than the one that would be used it is merely said
        kind = _kind(score['comparison'], run) if run.is_chosen(score) else NOTE
        basis = f'By the labels of a test of {Path(score["checkpoint"]).name}'
        found.append(Statement(kind, basis, str(score['comparison'].get('sentence', ''))))
    is_compared = any(map(run.is_chosen, compared))
    if scores and scores.comparison and not is_compared:
        told = str(scores.comparison.get('sentence', ''))
        found.append(Statement(_kind(scores.comparison, run), f'By {scores.basis}', told))
        is_compared = True
    if run.selection:
        is_tested = any(map(run.is_chosen, run.scores.values()))
        first, *more = _of_selection(run.selection, is_tested)
        if run.verdict or (is_compared and first.kind != BAD):  # which say more
            first = first._replace(kind=NOTE)
        if run.verdict:
            more = [statement._replace(kind=NOTE) for statement in more]
        found += [first, *more]
    if run.start and run.place == run.folder and 'finished' not in run.record:
        found.append(Statement(NOTE, 'Training', 'The training is not finished.'))
    return sorted(found, key=lambda statement: KINDS.index(statement.kind))


def _of_selection(selection: dict, is_tested: bool) -> list[Statement]:
    rule, selected = selection.get('rule'), selection.get('selected')
    by_labels = rule == TARGET_LABELS
    basis = 'Choice of the checkpoint, ' + ('by labels' if by_labels else f'by the rule {rule!r}')
    candidates = {c.get('iteration'): c for c in selection['candidates'] or ()}
    source, chosen = candidates.get(0, {}), candidates.get(selected, {})
    if selected == 0:
        kind = BAD
    elif None not in (source.get('score'), chosen.get('score')):
        kind = _kind_of_scores(source, chosen)
    else:
        kind = UNSURE if rule == LAST or is_tested else UNSCORED
    found = [Statement(kind, basis, str(selection.get('sentence', '')))]
    if selection.get('warning'):
        found.append(Statement(max(kind, UNSURE, key=_severity), 'Warning', selection['warning']))
    return found


def _severity(kind: str) -> int:
    return -KINDS.index(kind)


def _kind_of_scores(source: Mapping, chosen: Mapping) -> str:
    """Return what two scores mean, each with its own interval: better if these lie apart."""
    if chosen['score'] < source['score']:
        return BAD
    bounds = source.get('interval'), chosen.get('interval')
    return GOOD if None not in bounds and bounds[1][0] > bounds[0][1] else UNSURE


def _kind(comparison: Mapping, run: RunFolder) -> str:
    """Return what the difference of two models means by the interval of the mean that counts."""
    over_all = next((row for name, row in comparison.items() if name.startswith('mIoU')), {})
    interval = (comparison.get(run.counting_score) or over_all).get('interval')
    if not interval or interval[0] <= 0 <= interval[1]:
        return UNSURE
    return GOOD if interval[0] > 0 else BAD
