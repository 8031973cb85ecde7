"""What a work folder says of its run: files only, no model is built and no image is read."""

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.correction.record import COLUMNS, CURVE, EVENTS, TRUTH, read_rows
from mmseg_uvpt.engine.config.recorded import as_written
from mmseg_uvpt.engine.config.resolve import score_that_counts
from mmseg_uvpt.engine.work_folder.claim import (
    CONFIG,
    ENVIRONMENT,
    RUN,
    best_checkpoint,
    last_checkpoint,
)
from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.files import objects_in_lines, open_regular, read_object_if_there
from mmseg_uvpt.selection.conclusion import CHECKPOINT, SELECTION, VERDICT

_CURE = 'restore it, or delete it'


@dataclass
class RunFolder:
    """The files of one work folder, of a training or of a test.

    What is not there is empty; what cannot be read is empty too, and noted.

    Args:
        folder: the work folder.
        name: under which a page shows it.

    Attributes:
        problems: sentences on what is missing or damaged.
    """

    folder: Path
    name: str
    problems: list[str] = field(default_factory=list)

    @cached_property
    def place(self) -> Path:
        """Where config and records lie: each test has a folder of its own for them."""
        starts = [*self.folder.glob(f'*/{CONFIG}'), *self.folder.glob(f'test/*/{CONFIG}')]
        found = (self.folder / CONFIG, *sorted(starts, key=lambda path: path.parent.name)[::-1])
        return next(filter(Path.is_file, found), found[0]).parent

    @cached_property
    def config(self) -> Config | None:
        """The config that ran, without its classes; None where it cannot be read."""
        path = self.place / CONFIG
        try:
            cfg = Config.fromfile(path, import_custom_modules=False)
            as_written(cfg)
            return cfg
        except (Exception, SystemExit) as error:  # a program: anything can happen in it
            self.problems.append(f'{path} cannot be read ({first_line(error)})')
            return None

    @property
    def config_text(self) -> str:
        """The config as a program."""
        with suppress(OSError, ValueError):
            return (self.place / CONFIG).read_text()
        return ''

    @property
    def counting_score(self) -> str | None:
        """Name of the score that counts: of candidates, or by which the best checkpoint is kept."""
        return score_that_counts(self.config) if self.config else None

    @cached_property
    def record(self) -> dict:
        """What ``run.json`` says."""
        return self._object(self.place / RUN)

    @cached_property
    def start(self) -> dict:
        """The facts of the last start."""
        starts = self.record.get('starts')
        last = starts[-1] if isinstance(starts, list) and starts else {}
        return last if isinstance(last, dict) else {}

    @cached_property
    def environment(self) -> dict:
        """Machine and versions."""
        return self._object(self.place / ENVIRONMENT)

    @cached_property
    def selection(self) -> dict:
        """What was chosen of the candidates, and why."""
        found = self._object(self.folder / SELECTION)
        if found and not {'candidates', 'choices'} <= found.keys():
            self.problems.append(f'{self.folder / SELECTION} is damaged: {_CURE}')
            return {}
        return found

    @cached_property
    def verdict(self) -> dict:
        """What a whole adaptation concluded."""
        return self._object(self.folder / VERDICT)

    @cached_property
    def scores(self) -> dict[str, dict]:
        """Results of tests, by the names of their files."""
        found = {path.name: self._object(path) for path in sorted(self.folder.glob('*.json'))}
        return {
            name: score
            for name, score in found.items()
            if isinstance(score.get('checkpoint'), str) and isinstance(score.get('IoU'), dict)
        }

    @cached_property
    def source_checkpoint(self) -> str | None:
        """The source model of an adaptation."""
        return self.config and self.config.get('model', {}).get('source_checkpoint')

    @cached_property
    def checkpoint(self) -> str | None:
        """The model that counts: the selected one, the best, the last, or the one that was tested.

        For an adaptation that is an adapted model, though the source model was selected.
        """
        selected = self.folder / CHECKPOINT
        trained = best_checkpoint(self.folder) or last_checkpoint(self.folder)
        is_adapted = selected.is_file() and self.selection.get('selected') != 0
        if found := selected if is_adapted else trained:
            return str(found)
        tested = [score['checkpoint'] for score in self.scores.values()]
        return next((str(path) for path in tested if not self.is_source(path)), None)

    def is_source(self, checkpoint: str) -> bool:
        """Tell whether a checkpoint is the source model's, however its path is written."""
        source = self.source_checkpoint
        return bool(source) and Path(checkpoint).resolve() == Path(source).resolve()

    def is_chosen(self, score: Mapping) -> bool:
        """Tell whether a test is of the model that counts, under whatever name it has a file.

        A path that was typed elsewhere, or before the folder was moved, is known by its last two
        names.
        """
        tested, own = Path(score['checkpoint']), Path(self.checkpoint or '')
        if tested.resolve() == own.resolve():
            return True
        same_folder = tested.parent.name in ('', self.folder.resolve().name)
        if same_folder and tested.name == own.name:
            return True
        named = re.search(r'iter_(\d+)\.pth$', tested.name)
        chosen = self.selection.get('selected')
        return bool(named and same_folder and chosen) and int(named[1]) == chosen

    @cached_property
    def logged(self) -> list[dict]:
        """The scalars of all starts, in the order in which they were logged."""
        paths = sorted(self.folder.glob('*/vis_data/scalars.json'))
        return [line for path in paths for line in _json_lines(path)]

    def table(self, name: str) -> list[dict]:
        """Return the rows of one of the label correction's tables."""
        path = self.folder / name
        if not path.is_file():
            return []
        try:
            return [
                {column: _value(column, row[column]) for column in COLUMNS[name]}
                for row in read_rows(path)
            ]
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            self.problems.append(f'{path} cannot be read ({first_line(error)}): {_CURE}')
            return []

    @cached_property
    def curve(self) -> list[dict]:
        """IoU of predictions and labels, of each class at each point of its curve."""
        return [row for row in self.table(CURVE) if row['iou'] is not None]

    @cached_property
    def events(self) -> list[dict]:
        """What happened to the correction of each class."""
        return self.table(EVENTS)

    @cached_property
    def truth(self) -> list[dict]:
        """The labels against the truth, where it is known."""
        return self.table(TRUTH)

    def _object(self, path: Path) -> dict:
        try:
            return read_object_if_there(path, _CURE)
        except UserError as error:
            self.problems.append(str(error))
            return {}


def _value(column: str, text: str) -> str | int | float | None:
    """Return an entry of a table as what it is: a name, a number, or none."""
    if column in ('class', 'event'):
        return text
    if column in ('iou', 'threshold'):
        return float(text) if text else None
    return int(text)


def _json_lines(path: Path) -> Iterator[dict]:
    """Yield the objects of a file that has one a line, but for the half line of a killed run."""
    with suppress(OSError), open_regular(path) as file:
        yield from objects_in_lines(file)
