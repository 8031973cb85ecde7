"""What is kept of the candidates of a training until one is chosen, and the table of them.

In ``candidates/`` of the work folder lie the references (of candidate 0), and of each candidate its
weights and its labels of the target images, and the sum of the probabilities of all candidates up
to it. ``candidates.csv`` beside that folder has a row a candidate, and stays.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_bytes, remove_folder, write_whole
from mmseg_uvpt.selection.committee import Candidate
from mmseg_uvpt.selection.criteria import CRITERIA

FOLDER, TABLE = 'candidates', 'candidates.csv'
_SCORES = ('mIoU', 'mIoU_low', 'mIoU_high')
_COLUMNS = ('iteration', *CRITERIA, *_SCORES)


class CandidateFiles:
    """The files of a training's candidates; every one appears whole.

    Args:
        work_dir: the work folder.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self._work_dir = Path(work_dir)
        self._folder = self._work_dir / FOLDER

    def begin(self) -> None:
        """Remove what a run left here that ended before its first checkpoint."""
        self.remove()
        (self._work_dir / TABLE).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder, see `remove_folder`."""
        remove_folder(self._folder)

    def save_references(self, references: Mapping[str, Any]) -> None:
        """Keep what is computed once, by candidate 0."""
        self._save('references', references)

    def save_images(self, images: Sequence[tuple]) -> None:
        """Keep what tells the images that candidates are judged on: names and sizes of each."""
        self._save('images', list(images))

    def references(self) -> dict[str, Any]:
        """Return what `save_references` was given."""
        return self._load('references')

    def save(self, iteration: int, weights: Mapping[str, Tensor], labels: Sequence[Tensor]) -> None:
        """Keep a candidate: weights by name, and its label (h, w) of each target image."""
        self._save(iteration, {'state_dict': dict(weights), 'labels': list(labels)})

    def weights(self, iteration: int) -> dict[str, Tensor]:
        """Return the weights of a candidate."""
        return self._load(iteration)['state_dict']

    def labels(self, iteration: int) -> list[Tensor]:
        """Return what a candidate says of the target images; its weights are not read."""
        return [label.clone() for label in self._load(iteration, mmap=True)['labels']]

    def save_sums(self, iteration: int, sums: Sequence[Tensor]) -> None:
        """Keep the summed probabilities up to a candidate, while a run may go on from it.

        That is the latest one, and the latest before each checkpoint, of which one may still be
        written at this iteration (that of a run told to stop).
        """
        self._save(f'sums_{iteration}', list(sums))
        found = {int(path.stem.split('_')[1]): path for path in self._folder.glob('sums_*.pth')}
        numbers = (path.stem.removeprefix('iter_') for path in self._work_dir.glob('iter_*.pth'))
        ends = (*(int(number) for number in numbers if number.isdigit()), iteration)
        needed = {max((n for n in found if n < end), default=None) for end in ends}
        for number in found.keys() - needed - {iteration}:
            found[number].unlink()

    def sums(self, iteration: int) -> list[Tensor]:
        """Return what `save_sums` was given."""
        return self._load(f'sums_{iteration}')

    def write_table(self, candidates: Iterable[Candidate]) -> None:
        """Write a row a candidate: iteration, criteria, mIoU by labels with its 95 % interval.

        What is not known is empty.
        """
        with write_whole(self._work_dir / TABLE, 'w') as file:
            rows = csv.writer(file)
            rows.writerow(_COLUMNS)
            for candidate in candidates:
                values = [candidate.criteria.get(name) for name in CRITERIA]
                values += [candidate.score, *(candidate.interval or (None, None))]
                rows.writerow([candidate.iteration, *('' if v is None else v for v in values)])

    def read_table(self, end: int, images: Sequence[tuple] = ()) -> list[Candidate] | None:
        """Return the candidates before an iteration, from which a resumed run goes on.

        None where not all that belongs to them is there: the run began without them, or they were
        removed when it ended; or where they were judged on other images than these.

        Raises:
            UserError: the table is damaged.
        """
        path = self._work_dir / TABLE
        if not path.is_file():
            return None
        try:
            text = read_bytes(path).decode()
            found = [_candidate(row) for row in csv.DictReader(text.splitlines())]
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise UserError(
                f'{path} is damaged ({error!r}): move it away, then resume the run; no checkpoint '
                'is selected at its end then'
            ) from error
        before = [candidate for candidate in found if candidate.iteration < end]
        there = all(self._path(candidate.iteration).is_file() for candidate in before)
        if not (before and there):
            return None
        judged_on = self._load('images') if self._path('images').is_file() else list(images)
        return before if judged_on == list(images) else None

    def _path(self, name: int | str) -> Path:
        return self._folder / (f'candidate_{name}.pth' if type(name) is int else f'{name}.pth')

    def _save(self, name: int | str, contents: object) -> None:
        with write_whole(self._path(name)) as file:
            torch.save(contents, file)

    def _load(self, name: int | str, mmap: bool = False) -> Any:
        path = self._path(name)
        try:
            return torch.load(path, 'cpu', weights_only=True, mmap=mmap)
        except Exception as error:  # whatever a damaged file is taken for
            raise UserError(
                f'{path}, of a candidate of this run, cannot be read: restore it, or move '
                f'{self._work_dir / TABLE} away and resume the run; no checkpoint is selected at '
                'its end then'
            ) from error


def _candidate(row: Mapping[str, str]) -> Candidate:
    """Return what a row of the table says."""
    numbers = {name: float(row[name]) for name in _COLUMNS[1:] if row[name]}
    if not all(map(math.isfinite, numbers.values())):
        raise ValueError('a number is not finite')
    score, *bounds = (numbers.pop(name, None) for name in _SCORES)
    interval = None if None in bounds else tuple(bounds)
    return Candidate(int(row['iteration']), numbers, score, interval)
