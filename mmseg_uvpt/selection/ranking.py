"""How well criteria rank candidates, over recorded runs that were also scored by labels."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object
from mmseg_uvpt.selection.committee import (
    COMMITTEE,
    GUARDED,
    LAST,
    TARGET_LABELS,
    Candidate,
    choose_by,
    mean_ranks,
    preferred,
)
from mmseg_uvpt.selection.conclusion import SELECTION
from mmseg_uvpt.selection.criteria import CRITERIA
from mmseg_uvpt.tables import markdown

COMMITTEE_ROW = 'committee'


class Run(NamedTuple):
    """A recorded run: its candidates, and which of them (by place) each rule chose at its end."""

    candidates: list[Candidate]
    choices: dict[str, int]


class Ranking(NamedTuple):
    """What a criterion was worth over several runs.

    Attributes:
        name: of the criterion or the rule.
        correlations: Spearman's rank correlation with the score, of each run that has one.
        gains: of each run the chosen candidate's score less the source's, in points.
    """

    name: str
    correlations: list[float]
    gains: list[float]


def read_run(path: str | Path) -> Run:
    """Read what a run recorded of its candidates.

    Args:
        path: its work folder or ``selection.json``, or its record of the leaderboard.

    Raises:
        UserError: there is no record, it is damaged, or no labels scored its candidates.
    """
    path = Path(path)
    path = path if path.is_file() else path / SELECTION
    record = read_object(
        path, f'name the work folder of an adaptation that ended with a {SELECTION}'
    )
    try:
        if path.name != SELECTION and not (record := record.get('selection')):
            raise UserError(f'{path} does not say what was found of its candidates: leave it out')
        candidates = [
            Candidate(
                *(row[name] for name in ('iteration', 'criteria', 'score')),
                vanished=tuple(row.get('vanished', ())),  # older ones do not say
            )
            for row in record['candidates']
        ]
        places = {candidate.iteration: i for i, candidate in enumerate(candidates)}
        choices = {r: places[choice['iteration']] for r, choice in record['choices'].items()}
        sound = candidates and all(
            math.isfinite(value) for c in candidates for value in c.criteria.values()
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{path} is damaged ({error!r}): leave it out') from error
    if not sound:
        raise UserError(f'{path} is damaged: a criterion is no number; leave it out')
    if any(type(candidate.score) not in (int, float) for candidate in candidates):
        raise UserError(
            f'{path}: not all candidates have a score by labels, so nothing can be compared with '
            'that; leave it out'
        )
    return Run(candidates, choices)


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation; None where one has fewer than two values."""
    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def rank_all(runs: Sequence[Run]) -> list[Ranking]:
    """Return what each criterion, the committee and each rule were worth.

    A criterion counts in the runs in which it could be taken of every candidate.
    """
    found = [_by_values(name, runs) for name in CRITERIA]
    judged = [run for run in runs if any(_values(run, name) for name in COMMITTEE)]
    found.append(_by_committee([run for run in judged if len(run.candidates) > 1]))
    for rule in (GUARDED, LAST, TARGET_LABELS):
        chosen = [(run, run.choices[rule]) for run in runs if rule in run.choices]
        found.append(Ranking(rule, [], [_gain(*each) for each in chosen]))
    return [ranking for ranking in found if ranking.gains]


def _values(run: Run, name: str) -> list[float] | None:
    values = [candidate.criteria.get(name) for candidate in run.candidates]
    return None if None in values else values


def _by_values(name: str, runs: Sequence[Run]) -> Ranking:
    pairs = [(v, run) for run in runs if (v := _values(run, name)) is not None]
    found = [spearman(v, [candidate.score for candidate in run.candidates]) for v, run in pairs]
    gains = [_gain(run, int(np.argmax(v))) for v, run in pairs]
    return Ranking(name, [c for c in found if c is not None], gains)


def _by_committee(runs: Sequence[Run]) -> Ranking:
    """Return what the committee was worth, which ranks adapted models only."""
    found, gains = [], []
    for run in runs:
        ranks = -mean_ranks(run.candidates[1:])
        found.append(spearman(ranks.tolist(), [each.score for each in run.candidates[1:]]))
        gains.append(_gain(run, preferred(run.candidates)))
    return Ranking(COMMITTEE_ROW, [c for c in found if c is not None], gains)


def _gain(run: Run, chosen: int) -> float:
    return run.candidates[chosen].score - run.candidates[0].score


def to_markdown(rankings: Sequence[Ranking], runs: Sequence[Run]) -> str:
    """Return a table, a row a criterion or rule, and a line that explains it."""
    numbers = [len(run.candidates) for run in runs]
    best = [choose_by(run.candidates, TARGET_LABELS).index for run in runs]
    kept = [i for i, run in enumerate(runs) if run.choices.get(GUARDED) == 0]
    better = sum(best[i] > 0 for i in kept)
    head = ('chosen by', 'Spearman, mean (lowest)', 'runs', 'mean gain over the source', 'worst')
    lines = []
    for name, correlations, gains in rankings:
        below = sum(gain < 0 for gain in gains)
        correlation = '-'
        if correlations:
            correlation = f'{np.mean(correlations):+.2f} ({min(correlations):+.2f})'
        figures = (f'{np.mean(gains):+.2f}', f'{min(gains):+.2f}', f'{below} of {len(gains)}')
        lines.append([name, correlation, str(len(gains)), *figures])
    return markdown([*head, 'below the source'], lines) + (
        f'\n{len(runs)} runs of {min(numbers)} to {max(numbers)} candidates, the source model '
        f'among them, which is the best by the labels in {best.count(0)}. Spearman: rank '
        "correlation of criterion and mIoU over a run's candidates. Gains are in points of mIoU by "
        f'the labels. The guard kept what a run began with in {len(kept)}; {better} of these had '
        'something better.\n'
    )
