"""IoU of each class, of a source model and of the one adapted from it."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.evaluation.comparison import Comparison
from mmseg_uvpt.evaluation.score import Score
from mmseg_uvpt.report.run_folder import RunFolder


class ClassScores(NamedTuple):
    """Scores in percent by the name of a class or of a mean, and what they rest on.

    Attributes:
        basis: which images were scored, by what.
        rows: ``source``, ``adapted``, ``difference`` and ``interval`` of each, any of them None;
            of a single model ``adapted`` alone, whatever it is.
        comparison: with the source model, as ``test.py --compare`` records it; None without one.
    """

    basis: str
    rows: Mapping[str, Mapping]
    comparison: Mapping | None = None

    @property
    def is_single(self) -> bool:
        """Whether they are those of one model."""
        return not any('source' in row for row in self.rows.values())

    @classmethod
    def of(cls, compared: Mapping, basis: str) -> 'ClassScores':
        """Return those of a comparison, as ``test.py --compare`` records it."""
        means = {name: row for name, row in compared.items() if name.startswith('mIoU')}
        return cls(basis, {**compared.get('IoU', {}), **means}, compared)


def class_scores(
    run: RunFolder, others: Iterable[RunFolder], of_frames: Comparison | None
) -> ClassScores | None:
    """Return the scores by class of a run's model: of a test of it, else of some frames.

    A test with ``--compare`` says all of it. Otherwise the source model's test is looked for among
    those of the run and of other work folders, and compared image by image. Without any of these
    the scores of a single model are returned, if there are some.
    """
    own = {n: score for n, score in run.scores.items() if not run.is_source(score['checkpoint'])}
    of_source = [
        (name, score)
        for other in (run, *others)
        for name, score in other.scores.items()
        if run.is_source(score['checkpoint'])
    ]
    for name, score in own.items():
        if run.is_chosen(score):
            if isinstance(score.get('comparison'), dict):
                return ClassScores.of(score['comparison'], _basis(name, score))
            for other, each in of_source:
                if compared := _compare(each, score, run.counting_score):
                    basis = f'{_basis(name, score)}, against {_basis(other, each)}'
                    return ClassScores.of(compared.to_json(), basis)
    if of_frames:
        basis = f'the {of_frames.source.frames} frames predicted here'
        return ClassScores.of(of_frames.to_json(), basis)
    for name, score in (own or run.scores).items():
        means = {key: mean for key, mean in score.items() if re.fullmatch(r'mIoU\d+', key)}
        rows = {each: {'adapted': value} for each, value in {**score['IoU'], **means}.items()}
        return ClassScores(_basis(name, score), rows)
    return None


def _basis(name: str, score: Mapping) -> str:
    return f'{name}: {score.get("frames")} frames, {score["checkpoint"]}'


def _compare(source: Mapping, adapted: Mapping, counting: str | None) -> Comparison | None:
    """Compare two tests; None where images, classes or the way of predicting are not the same."""
    if any(source.get(name) != adapted.get(name) for name in ('aug_test', 'amp', 'classes')):
        return None
    pair = [_score(source), _score(adapted)]
    if None in pair or not np.array_equal(pair[0].counts.truth, pair[1].counts.truth):
        return None
    return Comparison.by(counting, *pair)


def _score(found: Mapping) -> Score | None:
    try:
        counts = ImageCounts.from_json(found['of_each_frame'])
        return Score(tuple(found['classes']), counts)
    except (KeyError, TypeError, ValueError):  # an older version's
        return None
