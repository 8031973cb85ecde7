"""Raw labels to ``*_labelTrainIds.png`` beside them, and the class statistics of the first split.

A converted label is kept if it is a whole 8-bit grey PNG of the raw label's size and not older than
it. Files appear whole or not at all (`mmseg_uvpt.files`); what a killed run leaves behind the next
one removes.
"""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from mmseg_uvpt.datasets.conversion.class_statistics import (
    count_classes,
    known_counts,
    write_statistics,
)
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.png_files import GREY, read_whole_png
from mmseg_uvpt.datasets.label_encodings import read_train_ids
from mmseg_uvpt.datasets.layouts import Layout, raw_label_size
from mmseg_uvpt.datasets.parallel import run_each
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_png
from mmseg_uvpt.progress import progress

Counts = dict[int, int]


@dataclass(frozen=True)
class _Task:
    raw: Path
    target: Path
    read: Callable[[Path], np.ndarray]
    force: bool
    counted: bool  # whether the statistics want this label's counts
    known: Counts | None  # those counts, if an earlier run left them


@dataclass(frozen=True)
class _Outcome:
    task: _Task
    status: Literal['written', 'kept', 'failed']
    counts: Counts | None = None
    error: str = ''


@dataclass
class Report:
    """What a run did: numbers of labels, and one message for each that could not be converted."""

    written: int = 0
    kept: int = 0
    errors: list[str] = field(default_factory=list)


def convert_data_set(layout: Layout, root: Path, nproc: int, force: bool = False) -> Report:
    """Convert all labels of a data set, with a progress bar.

    Args:
        layout: which data set.
        root: its root.
        nproc: number of processes.
        force: convert also what is done.

    Returns:
        Report: labels that cannot be read are in it; the others are converted all the same.

    Raises:
        UserError: no labels there, another converter at work there, or a file cannot be written
            (no space left, no permission): the run ends, and what it wrote so far is whole.
    """
    if not root.is_dir():
        raise UserError(
            f'{root}: there is no such folder. data/README.md shows where to get {layout.title} '
            'and how its tree looks; give its root.'
        )
    with _alone_in(root):
        tasks = _tasks(layout, root, force)
        folders = {task.target.parent for task in tasks}
        _remove_leftovers(folders)
        try:
            return _run(layout, root, tasks, nproc)
        finally:
            _remove_leftovers(folders)  # of workers that died


def _tasks(layout: Layout, root: Path, force: bool) -> list[_Task]:
    known = known_counts(root)
    tasks = []
    for split in layout.splits_in(root):
        for frame, raw in layout.raw_labels(root, split).items():
            target = layout.train_ids(root, split, frame)
            counted = split == layout.splits[0]
            counts = known.get(target.relative_to(root).as_posix())
            tasks.append(_Task(raw, target, layout.read, force, counted, counts))
    if not tasks:
        looked_for = ' or '.join(
            str(root / layout.folder(layout.labels, split) / f'*{suffix}')
            for split in layout.splits
            for suffix in layout.raw_suffixes
        )
        raise UserError(
            f'no labels of {layout.title} under {root}: looked for {looked_for}. data/README.md '
            'shows the tree; give the root of the data set.'
        )
    return tasks


def _run(layout: Layout, root: Path, tasks: list[_Task], nproc: int) -> Report:
    report = Report()
    counts: dict[str, Counts] = {}
    outcomes = run_each(_convert, tasks, nproc, _killed)
    with closing(outcomes):
        for outcome in progress(outcomes, layout.title, 'label', len(tasks)):
            if outcome.status == 'failed':
                report.errors.append(outcome.error)
            elif outcome.status == 'written':
                report.written += 1
            else:
                report.kept += 1
            if outcome.counts is not None:
                counts[outcome.task.target.relative_to(root).as_posix()] = outcome.counts
    report.errors.sort()
    if counts:
        write_statistics(root, counts)
    return report


def _convert(task: _Task) -> _Outcome:
    try:
        kept = not task.force and _is_done(task)
        if kept and (task.known is not None or not task.counted):
            return _Outcome(task, 'kept', task.known if task.counted else None)
        label = read_train_ids(task.target) if kept else task.read(task.raw)
    except DataError as error:
        return _Outcome(task, 'failed', error=str(error))
    if not kept:
        write_png(task.target, label, compression=6)
    counts = count_classes(label) if task.counted else None
    return _Outcome(task, 'kept' if kept else 'written', counts)


def _is_done(task: _Task) -> bool:
    try:
        fresh = task.target.stat().st_mtime_ns >= task.raw.stat().st_mtime_ns
        header = read_whole_png(task.target)[1]
        encoded = (header.colour, header.bits) == (GREY, 8)
        return fresh and encoded and header.size == raw_label_size(task.raw)
    except (OSError, DataError):
        return False


def _killed(task: _Task) -> _Outcome:
    error = (
        f'{task.raw}: the process that read it died twice (out of memory, or a damaged file). '
        'Look at the file; try again with --nproc 1.'
    )
    return _Outcome(task, 'failed', error=error)


def _remove_leftovers(folders: set[Path]) -> None:
    """Remove what interrupted writes of `mmseg_uvpt.files.write_whole` left in the folders."""
    for folder in folders:
        for path in folder.glob('.*_labelTrainIds.png.*.part'):
            path.unlink(missing_ok=True)


@contextmanager
def _alone_in(root: Path) -> Generator[None, None, None]:
    """Refuse a second converter in ``root``; the lock ends with the process, however it ends."""
    handle = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise UserError(
            f'another converter is at work in {root}: let it end, or stop it, and try again'
        ) from error
    except OSError:
        pass  # some network file systems have no locks
    try:
        yield
    finally:
        os.close(handle)
