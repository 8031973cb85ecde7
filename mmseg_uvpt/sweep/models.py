"""Which model a job starts from: the one made in the work root, or else the released one."""

from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.work_folder.claim import (
    SOURCE,
    best_checkpoint,
    last_checkpoint,
    option_values,
    run_record_of,
)
from mmseg_uvpt.files import read_object, why_unreadable
from mmseg_uvpt.nested import dict_or_empty
from mmseg_uvpt.selection.committee import TARGET_LABELS
from mmseg_uvpt.selection.conclusion import CHECKPOINT, SELECTION

OWN, RELEASED, MISSING = 'own', 'released', 'missing input'
LOCK = 'job.lock'  # all that looking at a job may leave in its folder


class Model(NamedTuple):
    """A model that a job starts from.

    Attributes:
        origin: `OWN` or `RELEASED`.
        path: of the checkpoint; where a training will make it, a pattern.
        why: what is missing, and what makes it; empty if the model is there.
    """

    origin: str
    path: Path
    why: str = ''


def choose(folder: Path, released: str | None, launcher: str, recorded: str | None = None) -> Model:
    """Return the model that a training made, or the released one where there was no training.

    A training that was begun counts, so that the released model never takes its place.

    Args:
        folder: of the training.
        released: file of the released model; None if there is none.
        launcher: that runs the training.
        recorded: file that an earlier start of the job took, which it stays with.
    """
    if recorded and is_released(recorded, released):
        return _released(released, '')
    if recorded:
        released = None
    own = Model(OWN, made_in(folder))
    if is_finished(folder):
        return own
    if is_begun(folder):
        otherwise = ', or move it away for the released model' if released else ''
        why = f'{folder} holds a training that is not finished: run {launcher}{otherwise}'
        return own._replace(why=why)
    if released:
        return _released(released, f', or run {launcher}')
    return own._replace(why=f'{folder} holds no finished training: run {launcher}')


def _released(path: str, otherwise: str) -> Model:
    reason = why_unreadable(path)
    why = f'released model {path} {reason}: get it (model/README.md){otherwise}' if reason else ''
    return Model(RELEASED, Path(path), why)


def made_in(folder: Path) -> Path:
    """Return the checkpoint that a training is kept for.

    Its choice without labels, where its recipe asks for one; else its best, if it looked for that.
    """
    record, chosen = folder / SELECTION, folder / CHECKPOINT
    is_there = record.is_file() and chosen.is_file()
    if is_there and read_object(record, 'delete it').get('asked', TARGET_LABELS) != TARGET_LABELS:
        return chosen
    return best_checkpoint(folder) or last_checkpoint(folder) or folder / 'best_*.pth'


def is_finished(folder: Path) -> bool:
    """Tell whether the training of a folder has been finished.

    Raises:
        UserError: its record cannot be read.
    """
    return 'finished' in run_record_of(folder)


def is_begun(folder: Path) -> bool:
    """Tell whether a job was ever started, or submitted, in a folder."""
    return folder.is_dir() and any(path.name != LOCK for path in folder.iterdir())


def released_source(cfg: Config) -> str | None:
    """Return the released source model of a row, as its pretraining or its adaptation names it."""
    model = cfg.get('model', {})
    return model.get('source_checkpoint', uvpt_config(cfg).released_checkpoint)


def is_released(path: str, released: str | None) -> bool:
    """Tell a released model from one made here by its name: folders may have been moved."""
    return released is not None and Path(path).name == Path(released).name


def source_of(folder: Path) -> str | None:
    """Return the source model that the adaptation in a folder began with; None if not known."""
    starts = run_record_of(folder).get('starts') or [{}]
    return next(iter(option_values(dict_or_empty(starts[0]).get('command'), SOURCE)), None)
