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
    """

    basis: str
    rows: Mapping[str, Mapping]

    @property
    def is_single(self) -> bool:
        """Whether they are those of one model."""
        return not any('source' in row for row in self.rows.values())

    @classmethod
    def of(cls, compared: Comparison, basis: str) -> 'ClassScores':
        """Return those of a comparison."""
        return cls(basis, _rows(compared.to_json()))


def class_scores(
    run: RunFolder, others: Iterable[RunFolder], of_frames: Comparison | None
) -> ClassScores | None:
    """Return the scores by class of a run's model: of a test of it, else of some frames.

    A test with ``--compare`` says all of it. Otherwise the source model's test is looked for among
    those of the run and of other work folders, and compared image by image. Without any of these
    the scores of a single model are returned, if there are some.
    """
    source = run.source_checkpoint
    own = {name: score for name, score in run.scores.items() if score['checkpoint'] != source}
    of_source = [
        score
        for other in (run, *others)
        for score in other.scores.values()
        if score['checkpoint'] == source
    ]
    for name, score in own.items():
        if run.is_chosen(score):
            if isinstance(score.get('comparison'), dict):
                return ClassScores(_basis(name, score), _rows(score['comparison']))
            for each in of_source:
                if compared := _compare(each, score):
                    return ClassScores.of(compared, _basis(name, score))
    if of_frames:
        return ClassScores.of(of_frames, f'the {of_frames.source.frames} frames predicted here')
    for name, score in (own or run.scores).items():
        means = {key: mean for key, mean in score.items() if re.fullmatch(r'mIoU\d+', key)}
        rows = {each: {'adapted': value} for each, value in {**score['IoU'], **means}.items()}
        return ClassScores(_basis(name, score), rows)
    return None


def _basis(name: str, score: Mapping) -> str:
    return f'{name}: {score.get("frames")} frames, {score["checkpoint"]}'


def _compare(source: Mapping, adapted: Mapping) -> Comparison | None:
    """Compare two tests of the same images; None where they are not, or counted no images."""
    pair = [_score(source), _score(adapted)]
    if None in pair or not np.array_equal(pair[0].counts.truth, pair[1].counts.truth):
        return None
    return Comparison(*pair, judged=len(pair[0].classes))


def _score(found: Mapping) -> Score | None:
    try:
        each = found['of_each_frame']
        names = ('intersection', 'union', 'ground_truth_pixels')
        counts = [np.array(each[name], np.int64) for name in names]
        return Score(tuple(found['classes']), ImageCounts(*counts))
    except (KeyError, TypeError, ValueError):  # an older version's
        return None


def _rows(compared: Mapping) -> dict[str, Mapping]:
    means = {name: row for name, row in compared.items() if name.startswith('mIoU')}
    return {**compared.get('IoU', {}), **means}
