"""What a training ends with: which candidate was chosen and why, in words and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.selection.committee import (
    COMMITTEE,
    GUARDED,
    GUARDS,
    LAST,
    TARGET_LABELS,
    Candidate,
    Choice,
    choose_by,
    choose_guarded,
    with_vanished,
)
from mmseg_uvpt.selection.criteria import CRITERIA

CHECKPOINT, SELECTION = 'selected.pth', 'selection.json'
VERDICT = 'verdict.json'  # of `uvpt adapt` on what was chosen


@dataclass(frozen=True)
class Conclusion:
    """The choice among the candidates of a training, beside what other rules would choose.

    Args:
        candidates: all of them, the source model first.
        asked: rule that was asked for.
        rule: the one that chose: another where nothing could be judged by that.
        choices: what was chosen by each rule that could choose.
        metric: name of the labelled score.
    """

    candidates: Sequence[Candidate]
    asked: str
    rule: str
    choices: Mapping[str, Choice]
    metric: str

    @property
    def selected(self) -> Candidate:
        """The chosen candidate."""
        return self._candidate(self.rule)

    def sentence(self) -> str:
        """Say what was chosen and why."""
        instead = ''
        if self.rule != self.asked:
            missing = 'no labels' if self.asked == TARGET_LABELS else 'no values of it'
            instead = f' ({self.asked!r} was asked for, and there are {missing})'
        iteration = self.selected.iteration
        name = f'iteration {iteration}' + (', the source model,' if iteration == 0 else '')
        return (
            f'{name} was chosen of {len(self.candidates)} candidates by {self.rule!r}{instead}: '
            f'{self.choices[self.rule].reason}; it is {CHECKPOINT}. {self._side_by_side()}'
        )

    def warning(self) -> str | None:
        """Say where training did harm, or cannot be told to have helped; None where it helped."""
        source, last = self.candidates[0], self.candidates[-1]
        if source.score is not None and last.score is not None:
            best = self._candidate(TARGET_LABELS)
            if best is source and last is not source:
                return (
                    f'by the labels nothing beats the source model: it has {source.score:.1f} '
                    f'{self.metric}, the last model {last.score:.1f}. Use {self._use(source)}'
                )
            for name, model in (('chosen', self.selected), ('last', last)):
                if model.score is not None and model.score < source.score:
                    return (
                        f'by the labels the {name} model is {source.score - model.score:.1f} '
                        f'{self.metric} below the source model: use {self._use(best)}'
                    )
        elif GUARDED in self.choices and self._candidate(GUARDED) is source:
            return (
                'without labels nothing can be told to beat the source model: '
                f'{self.choices[GUARDED].reason}. Use {self._use(source)}'
            )
        return None

    def to_json(self) -> dict:
        """Return everything as plain JSON values; what is not known is null."""
        return {
            'asked': self.asked,
            'rule': self.rule,
            'selected': self.selected.iteration,
            'sentence': self.sentence(),
            'warning': self.warning(),
            'metric': self.metric,
            'choices': {
                rule: {
                    'iteration': self._candidate(rule).iteration,
                    'score': self._candidate(rule).score,
                    'reason': choice.reason,
                }
                for rule, choice in self.choices.items()
            },
            'source': {'iteration': 0, 'score': self.candidates[0].score},
            'committee': list(COMMITTEE),
            'guards': list(GUARDS),
            'candidates': [
                {
                    'iteration': candidate.iteration,
                    'criteria': {
                        name: candidate.criteria[name]
                        for name in CRITERIA
                        if name in candidate.criteria
                    },
                    'vanished': list(candidate.vanished),
                    'score': candidate.score,
                    'interval': candidate.interval and list(candidate.interval),
                }
                for candidate in self.candidates
            ],
        }

    def _candidate(self, rule: str) -> Candidate:
        return self.candidates[self.choices[rule].index]

    def _use(self, candidate: Candidate) -> str:
        """Name a candidate by the file that holds it, if one does."""
        if candidate is self.selected:
            return CHECKPOINT
        what = 'the source model' if candidate.iteration == 0 else f'that of {candidate.iteration}'
        return f'{what}, which {self.rule!r} did not choose'

    def _side_by_side(self) -> str:
        named = {'source': self.candidates[0]} | {
            'best by target labels' if rule == TARGET_LABELS else rule: self._candidate(rule)
            for rule in dict.fromkeys((LAST, GUARDED, TARGET_LABELS, self.rule))
            if rule in self.choices
        }
        told = [
            f'{name} {candidate.iteration}'
            + ('' if candidate.score is None else f' ({candidate.score:.2f})')
            for name, candidate in named.items()
        ]
        scores = '' if self.candidates[0].score is None else f' ({self.metric} by the labels)'
        return f'Side by side, iterations{scores}: {", ".join(told)}'


def conclude(
    select: str,
    candidates: Sequence[Candidate],
    classes: Sequence[str],
    metric: str,
    pixels: Sequence[np.ndarray] = (),
    guards: Mapping[str, Sequence[ImageCounts]] | None = None,
) -> Conclusion:
    """Choose by a rule, and by the others to compare with.

    Where nothing can be chosen by the rule, ``'guarded'`` chooses, and else the last is taken.

    Args:
        select: one of `committee.RULES`.
        candidates: the source model first.
        classes: names of the classes.
        metric: name of the labelled score.
        pixels: of `committee.with_vanished`.
        guards: of `committee.choose_guarded`; both are left out where no images were judged.
    """
    choices = {LAST: Choice(len(candidates) - 1, 'it is the last')}
    if pixels:
        candidates = with_vanished(candidates, pixels, classes)
        choices[GUARDED] = choose_guarded(candidates, guards or {}, classes)
    for rule in (TARGET_LABELS, select):
        if rule not in choices and (choice := choose_by(candidates, rule)):
            choices[rule] = choice
    rule = next(rule for rule in (select, GUARDED, LAST) if rule in choices)
    return Conclusion(candidates, select, rule, choices, metric)
