"""IoU of each class, of a source model and of the one adapted from it."""

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
            of a single model ``adapted`` alone.
    """

    basis: str
    rows: Mapping[str, Mapping]

    @classmethod
    def of(cls, compared: Comparison, basis: str) -> 'ClassScores':
        """Return those of a comparison."""
        return cls(basis, _rows(compared.to_json()))


def class_scores(
    run: RunFolder, others: Iterable[RunFolder], of_frames: Comparison | None
) -> ClassScores | None:
    """Return the scores by class of a run: of a test where there is one, else of some frames.

    A test with ``--compare`` says all of it. Otherwise the source model's test is looked for among
    those of the run and of other work folders, and compared image by image.
    """
    for name, score in run.scores.items():
        if isinstance(score.get('comparison'), dict):
            return ClassScores(f'{name}: {_frames(score)}', _rows(score['comparison']))
    of_source = [
        score
        for other in (run, *others)
        for score in other.scores.values()
        if score['checkpoint'] == run.source_checkpoint
    ]
    own = [(n, s) for n, s in run.scores.items() if s['checkpoint'] != run.source_checkpoint]
    # that of the chosen model first
    own.sort(key=lambda each: each[1]['checkpoint'] != run.checkpoint)
    for name, score in own:
        for source in of_source:
            if compared := _compare(source, score):
                return ClassScores.of(compared, f'{name}: {_frames(score)}')
    if of_frames:
        return ClassScores.of(of_frames, f'the {of_frames.source.frames} frames predicted here')
    for name, score in own or [('', score) for score in of_source]:
        rows = {of_class: {'adapted': iou} for of_class, iou in score['IoU'].items()}
        return ClassScores(f'{name}: {_frames(score)}', rows)
    return None


def _frames(score: Mapping) -> str:
    return f'{score.get("frames")} frames, {score["checkpoint"]}'


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
