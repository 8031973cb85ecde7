"""Scores of jobs, read from what the scripts wrote."""

import os
from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.engine.config.resolve import score_that_counts
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import objects_in_lines, read_bytes, read_object, why_unreadable
from mmseg_uvpt.selection.conclusion import CHECKPOINT, SELECTION
from mmseg_uvpt.sweep.jobs import Job
from mmseg_uvpt.sweep.stages import PseudoLabelling, Scoring

SIZES = (19, 16, 13)  # of the class sets that are averaged over


def score_of(job: Job) -> dict[str, float]:
    """Return mIoU in percent by the name of the metric; empty where there is no score yet.

    Of a training it is that of the checkpoint that it makes: the one that its recipe chose without
    labels, where it did, else its best evaluation so far.
    """
    if isinstance(job, PseudoLabelling):
        return {}
    if isinstance(job, Scoring):
        return _means(read_object(job.makes, 'mend that or delete it')) if job.done() else {}
    if job.makes.name == CHECKPOINT:
        found = read_object(job.folder / SELECTION, 'delete it')
        scores = {each['iteration']: each['score'] for each in found['candidates']}
        return _means({found['metric']: scores[found['selected']]})
    metric = metrics_of(job.cfg)[0]
    found = [means for means in evaluations(job.folder) if metric in means]
    return max(found, key=lambda means: means[metric], default={})


def metrics_of(cfg: Config) -> tuple[str, ...]:
    """Return the metrics that count for a config: the one that chooses its best checkpoint first.

    Sources without labels of some classes (SYNTHIA) are scored over 16 and 13 classes.
    """
    chosen = score_that_counts(cfg)
    return ('mIoU16', 'mIoU13') if chosen == 'mIoU16' else ('mIoU19',)


def evaluations(folder: Path) -> list[dict[str, float]]:
    """Return the means of each evaluation that a training made, in their order.

    Raises:
        UserError: a file cannot be read.
    """
    paths = (start / 'vis_data/scalars.json' for start in sorted(folder.glob('*')))
    lines = [
        line
        for path in filter(os.path.lexists, paths)  # a link to nothing is an error, and no absence
        for line in objects_in_lines(_contents(path).splitlines())
    ]
    return [_means(line) for line in lines if 'mIoU' in line]


def _means(record: dict) -> dict[str, float]:
    named = {f'mIoU{size}': record.get(f'mIoU{size}') for size in SIZES}
    return {name: mean for name, mean in named.items() if is_score(mean)}


def is_score(value: object) -> bool:
    """Tell whether a value from a file is a mean IoU in percent."""
    return type(value) in (int, float) and 0 <= value <= 100


def _contents(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise UserError(f'{path} {why_unreadable(path, error)}: mend that or delete it') from error
