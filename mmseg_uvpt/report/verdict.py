"""What a run comes to, in one word and a few sentences."""

from pathlib import Path
from typing import NamedTuple

from mmseg_uvpt.evaluation.comparison import Comparison
from mmseg_uvpt.report.run_folder import RunFolder

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


def statements(run: RunFolder, of_frames: Comparison | None = None) -> list[Statement]:
    """Return all that is known of whether an adaptation helped; what matters most comes first.

    Args:
        run: its files.
        of_frames: source and adapted model on some labelled frames.
    """
    found = []
    if run.verdict:
        kind = GOOD if run.verdict.get('adapted') is True else BAD
        if kind == GOOD and run.verdict.get('judged_by') != 'labels':
            kind = UNSCORED
        found.append(Statement(kind, 'Verdict', str(run.verdict.get('sentence', ''))))
    compared = [score for score in run.scores.values() if 'comparison' in score]
    for score in compared:
        comparison = score['comparison']
        over_all = next((row for name, row in comparison.items() if name.startswith('mIoU')), {})
        mean = comparison.get(_judged(run)) or over_all
        # of another checkpoint than the one that would be used it is merely said
        kind = _kind(mean.get('interval')) if run.is_chosen(score) else NOTE
        basis = f'By the labels of a test of {Path(score["checkpoint"]).name}'
        found.append(Statement(kind, basis, str(comparison.get('sentence', ''))))
    if of_frames and not any(map(run.is_chosen, compared)):
        kind = _kind(of_frames.means[of_frames.judged].interval)
        basis = f'By the labels of {of_frames.source.frames} frames'
        found.append(Statement(kind, basis, of_frames.sentence()))
    if run.selection:
        of_selection = _of_selection(run.selection)
        if run.verdict:  # which knows of it, and perhaps more
            of_selection = [statement._replace(kind=NOTE) for statement in of_selection]
        found += of_selection
    if run.start and run.place == run.folder and 'finished' not in run.record:
        found.append(Statement(NOTE, 'Training', 'The training is not finished.'))
    return sorted(found, key=lambda statement: KINDS.index(statement.kind))


def _of_selection(selection: dict) -> list[Statement]:
    rule = selection.get('rule')
    by_labels = rule == 'target labels'
    basis = 'Choice of the checkpoint, ' + ('by labels' if by_labels else f'by the rule {rule!r}')
    scored = any(c.get('score') is not None for c in selection.get('candidates') or ())
    kind = BAD if selection.get('selected') == 0 else GOOD if scored else UNSCORED
    found = [Statement(kind, basis, str(selection.get('sentence', '')))]
    if selection.get('warning'):
        found.append(Statement(max(kind, UNSURE, key=_severity), 'Warning', selection['warning']))
    return found


def _severity(kind: str) -> int:
    return -KINDS.index(kind)


def _kind(interval: list[float] | None) -> str:
    """Return what a difference of two models means by its interval."""
    if not interval or interval[0] <= 0 <= interval[1]:
        return UNSURE
    return GOOD if interval[0] > 0 else BAD


def _judged(run: RunFolder) -> str | None:
    hooks = (run.config and run.config.get('default_hooks')) or {}
    return (hooks.get('checkpoint') or {}).get('save_best')
