"""Which candidate is chosen: by labels, by a criterion, or by a committee that the source guards.

Candidate 0 is the source model. Nothing here knows of files or models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import rankdata

from mmseg_uvpt.evaluation.bootstrap import ImageCounts, mean_iou_difference_interval
from mmseg_uvpt.selection.criteria import CRITERIA

COMMITTEE = ('neighbourhood_density', 'ensemble')  # docs/selection.md says why these
INDEPENDENT = 'agreement_statistics'  # the reference that no candidate has a part in
GUARDS = (INDEPENDENT, 'ensemble')
LAST, GUARDED, TARGET_LABELS = 'last', 'guarded', 'target labels'
RULES = (LAST, GUARDED, TARGET_LABELS, *CRITERIA)

SEEN = 1e-3  # share of all pixels from which a class counts as one that the source predicts
LEFT = 0.1  # share of the source's pixels of a class below which the class has vanished


@dataclass
class Candidate:
    """One model of a training, and what was found of it.

    Args:
        iteration: at which it was the model that is trained; 0 is the source model.
        criteria: value of each criterion that could be taken, by its name; higher is better.
        score: its mean IoU by the target's labels in percent; None without labels.
        interval: of 95 %, by resamples of the labelled images, in percent.
        vanished: names of classes that the source model predicts and it does not; known when the
            training ends.
    """

    iteration: int
    criteria: dict[str, float] = field(default_factory=dict)
    score: float | None = None
    interval: tuple[float, float] | None = None
    vanished: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A candidate that a rule chooses, by its place in the list, and why: half a sentence."""

    index: int
    reason: str


def with_vanished(
    candidates: Sequence[Candidate], pixels: Sequence[np.ndarray], classes: Sequence[str]
) -> list[Candidate]:
    """Return candidates that know which classes vanished.

    Args:
        candidates: the source model first.
        pixels: of each candidate those predicted as each class, (C,).
        classes: names of the classes.
    """
    lost = [vanished_classes(of_candidate, pixels[0]) for of_candidate in pixels]
    return [
        replace(candidate, vanished=tuple(classes[i] for i in ids))
        for candidate, ids in zip(candidates, lost, strict=True)
    ]


def vanished_classes(pixels: np.ndarray, of_source: np.ndarray) -> list[int]:
    """Return the classes that the source predicts and a candidate no longer does.

    Those with at least `SEEN` of all the source's pixels, of which fewer than `LEFT` remain.

    Args:
        pixels: predicted by the candidate, (C,).
        of_source: by the source model on the same images, (C,).
    """
    seen = of_source >= max(1, SEEN * of_source.sum())
    return np.flatnonzero(seen & (pixels < LEFT * of_source)).tolist()


def mean_ranks(candidates: Sequence[Candidate], committee: Sequence[str] = COMMITTEE) -> np.ndarray:
    """Return the mean rank of each candidate over the criteria of a committee: 1 is the best.

    A criterion that not every candidate has is left out; equal values share their ranks. The number
    of vanished classes is one vote more: the fewer, the better.

    Args:
        candidates: N of them.
        committee: names of criteria.
    """
    fewest = rankdata([len(candidate.vanished) for candidate in candidates])
    return np.mean([*_ranks(candidates, committee), fewest], axis=0)


def _ranks(candidates: Sequence[Candidate], names: Sequence[str]) -> list[np.ndarray]:
    """Return the ranks by each criterion that every candidate has."""
    votes = [[c.criteria.get(name, np.nan) for c in candidates] for name in names]
    return [rankdata(-np.array(vote)) for vote in votes if not np.isnan(vote).any()]


def choose_by(candidates: Sequence[Candidate], name: str) -> Choice | None:
    """Choose the best by a criterion, or by the ``'target labels'``; the earliest of equal ones.

    None where no candidate was judged by it.
    """
    values = [c.score if name == TARGET_LABELS else c.criteria.get(name) for c in candidates]
    values = [-np.inf if value is None or np.isnan(value) else value for value in values]
    best = int(np.argmax(values))
    if values[best] == -np.inf:
        return None
    return Choice(best, f'{name} is {values[best]:.2f}, the largest')


def preferred(candidates: Sequence[Candidate]) -> int:
    """Return the place of the adapted model that the committee prefers, by the best mean rank.

    Of equal ones it is the best by the committee's first criterion, and then the earliest. The
    source model has no rank: a model that sees nothing has a high density, and no class of it
    vanished.

    Args:
        candidates: the source model, and at least one more.
    """
    adapted = candidates[1:]
    by_first = _ranks(adapted, COMMITTEE[:1])
    return 1 + int(np.lexsort((*by_first, mean_ranks(adapted)))[0])


def choose_guarded(
    candidates: Sequence[Candidate],
    guards: Mapping[str, Sequence[ImageCounts]],
    classes: Sequence[str],
) -> Choice:
    """Choose the `preferred` candidate if it is surely above the source model, else the latter.

    Surely: for each reference of the guards the lower bound of how far the agreement of what is
    preferred is above the source's (paired bootstrap over images, 95 %) is above 0. Each class that
    vanished lowers the bound by 100 / C, as much as an IoU that falls from 100 to 0 takes from a
    mean over C classes. Without the `INDEPENDENT` reference the source is chosen: the ensemble is
    made of the candidates, of which one alone is the source model. Before the source, the candidate
    that agrees most with that reference is tested in the same way.

    Args:
        candidates: the source model first; see `with_vanished`.
        guards: by the name of a reference its agreement with each candidate.
        classes: names of the classes.
    """
    if len(candidates) == 1:
        return Choice(0, 'there is no other candidate')
    best = preferred(candidates)
    asked = {best: f'the committee prefers iteration {candidates[best].iteration}'}
    if closest := choose_by(candidates[1:], INDEPENDENT):
        place = 1 + closest.index
        told = f'iteration {candidates[place].iteration} has the largest {INDEPENDENT}'
        asked.setdefault(place, told)
    reasons = []
    for place, what in asked.items():
        lost = candidates[place].vanished
        if lost:
            what += f', where {", ".join(lost)} vanished'
        bounds = {}
        for name, counts in guards.items():
            interval = mean_iou_difference_interval(counts[place], counts[0])
            if interval is not None:
                bounds[name] = 100 * (interval.low - len(lost) / len(classes))
        if INDEPENDENT not in bounds:
            return Choice(0, f'{what}, and nothing can tell whether it is above the source model')
        worst = min(bounds, key=bounds.get)
        taken_off = f', {100 * len(lost) / len(classes):.2f} taken off for that' if lost else ''
        told = (
            f'its {worst} less that of the source model is {bounds[worst]:+.2f} at least{taken_off}'
        )
        if bounds[worst] > 0:
            return Choice(place, '; '.join([*reasons, f'{what}, and {told}']))
        reasons.append(f'{what}, but {told}, which is not above 0')
    return Choice(0, '; '.join(reasons))
