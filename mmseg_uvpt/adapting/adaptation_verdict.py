"""Whether the adapted model is to be used, in a sentence that nobody can overlook."""

from dataclasses import dataclass

from mmseg_uvpt.selection.committee import GUARDED


@dataclass(frozen=True)
class Verdict:
    """What an adaptation ends with.

    Attributes:
        adapted: whether the adapted model is to be used; the source model otherwise.
        sentence: that says so, and why.
        iteration: of the model that is to be used; 0 of the source model.
        judged_by: ``'labels'`` of photographs, or ``'label-free criteria'``.
        source, candidate: mIoU by the labels, of the source model and of that of
            `scored_iteration`; None without labels.
        difference: candidate minus source.
        interval: of it, 95 %; None where too few images are labelled.
        worse: classes whose 95 % interval lies below zero as a whole.
        criteria: of the source model and of that candidate, names to pairs of numbers.
    """

    adapted: bool
    sentence: str
    iteration: int
    judged_by: str
    source: float | None
    candidate: float | None
    difference: float | None
    interval: tuple[float, float] | None
    worse: list[str]
    criteria: dict[str, tuple[float, float]]


def scored_iteration(selection: dict) -> int:
    """Return which model labels are asked about: the chosen one.

    Where that is the source model it is the last one, which no label has chosen.
    """
    return selection['selected'] or selection['candidates'][-1]['iteration']


def verdict_on(selection: dict, comparison: dict | None) -> Verdict:
    """Return the verdict on an adaptation.

    Labels are asked where there are some. They overrule what was chosen without them only where
    their interval lies on one side of zero, which a few photographs seldom can tell.

    Args:
        selection: ``selection.json`` of the training.
        comparison: of the source model and that of `scored_iteration` on labelled photographs, as
            ``test.py --compare`` records it; None without labels.
    """
    guarded, scored = selection['selected'] > 0, scored_iteration(selection)
    found = comparison[f'mIoU{len(comparison["IoU"])}'] if comparison else {}
    points, interval = found.get('difference'), found.get('interval')
    kept = (
        'Keep the source model: without labels no model of the training can be told to be better '
        f'({_reason(selection)})'
    )
    adapted = guarded
    if points is None:
        sentence = kept
        if guarded:
            sentence = (
                f'Adapted: the model of iteration {scored} is used, by label-free criteria alone '
                f'({_reason(selection)}). That is no score: ten labelled photographs (--labelled) '
                'would tell whether it is better'
            )
    else:
        bounds = f', 95 % interval {interval[0]:+.1f} to {interval[1]:+.1f}' if interval else ''
        told = (
            f'{found["source"]:.1f} -> {found["adapted"]:.1f} mIoU on {comparison["frames"]} '
            f'labelled photographs ({points:+.1f}{bounds})'
        )
        if interval and interval[0] > 0:
            adapted, sentence = True, f'Adapted, and better: {told}'
            if not guarded:
                sentence += ', which could not be told without them'
        elif interval and interval[1] < 0:
            adapted, sentence = False, f'Keep the source model, it is better: {told}'
        else:
            begin = 'Adapted, chosen without labels' if guarded else kept
            sentence = f'{begin}; {told} are too few to tell the difference from chance'
    worse = _worse_classes(comparison or {}) if adapted else []
    if worse:
        sentence += f'; worse in {", ".join(worse)}'
    return Verdict(
        adapted=adapted,
        sentence=f'{sentence}.',
        iteration=scored if adapted else 0,
        judged_by='label-free criteria' if points is None else 'labels',
        source=found.get('source'),
        candidate=found.get('adapted'),
        difference=points,
        interval=interval and tuple(interval),
        worse=worse,
        criteria=_criteria(selection, scored),
    )


def _reason(selection: dict) -> str:
    return selection['choices'].get(GUARDED, {}).get('reason', 'nothing could be judged')


def _worse_classes(comparison: dict) -> list[str]:
    intervals = {name: row.get('interval') for name, row in comparison.get('IoU', {}).items()}
    return [name for name, interval in intervals.items() if interval and interval[1] < 0]


def _criteria(selection: dict, chosen: int) -> dict[str, tuple[float, float]]:
    by_iteration = {each['iteration']: each['criteria'] for each in selection['candidates']}
    source, other = by_iteration[0], by_iteration[chosen]
    return {name: (source[name], other[name]) for name in source if name in other}
