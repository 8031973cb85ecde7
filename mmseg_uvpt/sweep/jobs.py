"""The jobs of a sweep: for each row and seed one script to run, what it needs and what it makes."""

import argparse
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.engine import cli
from mmseg_uvpt.engine.configuration import require_data, require_file, resolve
from mmseg_uvpt.engine.run_folder import CONFIG
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object
from mmseg_uvpt.sweep.models import (
    RELEASED,
    Model,
    choose,
    is_finished,
    made_in,
    released_source,
    source_of,
)
from mmseg_uvpt.sweep.rows import Row, find_rows

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGENET = 'get it (model/README.md)'


@dataclass(frozen=True)
class Settings:
    """What all jobs of a sweep share.

    Attributes:
        config_root: folder with ``pretrain/`` and ``uni_uvpt/``.
        work_root: folder that takes ``seed<N>/<stage>/<row>/``. Version 0.1 kept what it made of
            released models in ``seed<N>-released-source/...`` and ``seed<N>-released-adapted/...``;
            that is found there.
        data_root: as the scripts take it; None for the configs'.
        source_only: whether test jobs score the source models instead of the adapted ones.
        gpus: of a job; 0 for the CPU.
        extra: arguments that every script gets.
    """

    config_root: Path
    work_root: Path
    data_root: str | None = None
    source_only: bool = False
    gpus: int = 0
    extra: tuple[str, ...] = ()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UserError(f'after --: {message}')


def config_options(extra: Sequence[str]) -> argparse.Namespace:
    """Return what of a script's arguments changes its config.

    Raises:
        UserError: they are not of the right form.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    cli.add_config_options(parser)
    return parser.parse_known_args(extra)[0]


@dataclass(frozen=True)
class Job(ABC):
    """One script for one row and one seed, in a folder of its own."""

    row: Row
    seed: int
    settings: Settings

    stage = ''  # name of the stage and of its folder
    script = ''

    @property
    def name(self) -> str:
        """Row and seed."""
        return f'{self.row.name}/seed{self.seed}'

    @property
    def folder(self) -> Path:
        """Where the job's results, log and record are."""
        return self._folder(self.stage)

    def _folder(self, stage: str) -> Path:
        usual, old = self._place(stage), self._place(stage, '-released-source')
        return old if old.is_dir() and not usual.is_dir() else usual

    def _place(self, stage: str, models: str = '') -> Path:
        return self.settings.work_root / f'seed{self.seed}{models}' / stage / self.row.name

    @property
    def config(self) -> Path | None:
        """Config file; None where the row has none for this stage."""
        return self.row.adaptation

    @property
    def model(self) -> Model | None:
        """What the job starts from; None where that is no source model or adapted model."""
        return self._source(self._recorded())

    @property
    def newest(self) -> Model | None:
        """What the job would start from if it were run anew."""
        return self._source()

    def _source(self, recorded: str | None = None) -> Model:
        folder = self._folder(Pretraining.stage)
        return choose(folder, released_source(self.cfg), 'launcher_pretrain.py', recorded)

    def _recorded(self) -> str | None:
        """Return the model that the job once began with."""
        return None

    @property
    def needs(self) -> Path | None:
        """Checkpoint that the job starts from; where a run will make it, a pattern."""
        return self.model.path

    @property
    @abstractmethod
    def makes(self) -> Path:
        """What the job leaves behind; a pattern until then."""

    def require(self) -> None:
        """Raise a `UserError` if something that the job needs is not there."""
        if self.model.why:
            raise UserError(self.model.why)

    @abstractmethod
    def done(self) -> bool:
        """Tell whether the job has been finished."""

    @abstractmethod
    def arguments(self) -> list[str]:
        """Return what the script gets, as things stand now."""

    def __reduce__(self) -> tuple:
        """Leave out what can be read again: a job travels to other machines."""
        return type(self), (self.row, self.seed, self.settings)

    @cached_property
    def cfg(self) -> Config:
        """The config with everything that the script's arguments change in it."""
        return self._resolved(self.config)

    def _resolved(self, config: Path) -> Config:
        extra = config_options(self.settings.extra)
        extra.data_root = self.settings.data_root
        asked = argparse.Namespace(config=shown(config), **vars(extra))
        return resolve(asked, import_modules=False)

    def command(self) -> list[str]:
        """Return the whole command line."""
        arguments = [*self.arguments(), *self.settings.extra]
        if self.settings.data_root:
            arguments += ['--data-root', self.settings.data_root]
        script = shown(REPOSITORY / self.script)
        if self.settings.gpus > 1:
            launch = ['-m', 'mmseg_uvpt.engine.torchrun', f'--nproc-per-node={self.settings.gpus}']
            return [sys.executable, *launch, script, *arguments]
        return [sys.executable, script, *arguments]


class Training(Job):
    """What both trainings share: they make a checkpoint, and are resumed."""

    @property
    def makes(self) -> Path:
        return made_in(self.folder)

    def done(self) -> bool:
        return is_finished(self.folder)

    def arguments(self) -> list[str]:
        arguments = [shown(self.config), '--work-dir', str(self.folder), '--seed', str(self.seed)]
        begun = (self.folder / CONFIG).is_file() and not self.done()  # done: it runs anew
        return [*arguments, '--resume'] if begun else arguments


class Pretraining(Training):
    """``pretrain.py``: makes a source model."""

    stage, script = 'pretrain', 'pretrain.py'
    model = newest = None

    @property
    def config(self) -> Path:
        return self.row.pretraining

    @property
    def needs(self) -> Path | None:
        weights = (self.cfg.model.backbone.get('init_cfg') or {}).get('checkpoint')
        return Path(weights) if weights else None

    def require(self) -> None:
        from mmseg_uvpt.generalisation import prerequisites

        if self.needs:
            require_file(self.needs, 'ImageNet weights', IMAGENET)
        require_data(self.cfg, 'train_dataloader', 'val_dataloader')
        prerequisites.check(self.cfg)


class PseudoLabelling(Job):
    """``generate_pseudo_label.py``: labels the target with a source model."""

    stage, script = 'pseudo_label', 'generate_pseudo_label.py'

    @property
    def makes(self) -> Path:
        return self.folder / 'train'

    def _recorded(self) -> str | None:
        return _report(self.makes).get('checkpoint')

    def require(self) -> None:
        super().require()
        require_data(self.cfg, 'target_train_dataloader')

    def done(self) -> bool:
        return bool(_report(self.makes).get('finished'))

    def arguments(self) -> list[str]:
        arguments = ['--config', shown(self.config), '--checkpoint', str(self.needs)]
        return [*arguments, '--pseudo_label_dir', str(self.makes)]


class Adaptation(Training):
    """``train.py``: adapts a source model."""

    stage, script = 'train', 'train.py'

    def _recorded(self) -> str | None:
        return source_of(self.folder)

    @property
    def _labels(self) -> Path:
        beside = self.folder.parents[1] / PseudoLabelling.stage / self.row.name
        return (beside if beside.is_dir() else self._folder(PseudoLabelling.stage)) / 'train'

    def require(self) -> None:
        super().require()
        report = _report(self._labels)
        if not report.get('finished'):
            raise UserError(
                f'{self._labels} holds no complete pseudo labels: run launcher_pseudo_label.py'
            )
        made_by = str(report.get('checkpoint', self.needs))
        if Path(made_by).name != self.needs.name:
            raise UserError(
                f'{self._labels} holds pseudo labels of {made_by}, and the source model is '
                f'{self.needs}: run launcher_pseudo_label.py --again'
            )
        require_data(self.cfg, 'train_dataloader', 'val_dataloader')

    def arguments(self) -> list[str]:
        inputs = ['--source-checkpoint', str(self.needs), '--pseudo-label-dir', str(self._labels)]
        return [*super().arguments(), *inputs]


class Scoring(Job):
    """``test.py``: scores an adapted model, or a source model."""

    script = 'test.py'

    @property
    def stage(self) -> str:
        return 'test_source' if self.settings.source_only else 'test'

    @property
    def config(self) -> Path:
        return self.row.pretraining if self.settings.source_only else self.row.adaptation

    @property
    def model(self) -> Model:
        if self.settings.source_only:
            return self._source()
        released = self.cfg.get('released_checkpoint')
        return choose(self._folder(Adaptation.stage), released, 'launcher_train.py')

    newest = model

    @property
    def folder(self) -> Path:
        training = Pretraining if self.settings.source_only else Adaptation
        kind = 'source' if self.settings.source_only else 'adapted'
        beside = self._folder(training.stage).parents[1] / self.stage / self.row.name
        old = self._place(self.stage, f'-released-{kind}')
        is_old = self.model.origin == RELEASED and old.is_dir() and not beside.is_dir()
        return old if is_old else beside

    @property
    def makes(self) -> Path:
        return self.folder / 'score.json'

    def require(self) -> None:
        super().require()
        require_data(self.cfg, 'test_dataloader')

    def done(self) -> bool:
        return _json(self.makes).get('checkpoint') == str(self.needs)

    def arguments(self) -> list[str]:
        arguments = [shown(self.config), str(self.needs), '--eval', 'mIoU']
        return [*arguments, '--work-dir', str(self.folder), '--out', str(self.makes)]


STAGES = {
    'pretrain': Pretraining,
    'pseudo_label': PseudoLabelling,
    'train': Adaptation,
    'test': Scoring,
}


def list_jobs(stage: str, settings: Settings, seeds: list[int], only: list[str]) -> list[Job]:
    """Return the jobs of a stage, in the order of the published table.

    Args:
        stage: a key of `STAGES`.
        settings: of the sweep.
        seeds: a job each.
        only: patterns; a job is taken if its name contains something that fits one of them.

    Raises:
        UserError: no job is left.
    """
    rows = find_rows(settings.config_root)
    found = [STAGES[stage](row, seed, settings) for seed in dict.fromkeys(seeds) for row in rows]
    jobs = [job for job in found if job.config and _wanted(job, only)]
    if not jobs:
        if not only:
            raise UserError(f'{settings.config_root} holds no configs for {STAGES[stage].script}')
        names = ', '.join(job.name for job in found)
        raise UserError(f'--only {" ".join(only)} fits none of the jobs {names}')
    return jobs


def _wanted(job: Job, only: list[str]) -> bool:
    return not only or any(fnmatchcase(job.name, f'*{pattern}*') for pattern in only)


def shown(path: Path) -> str:
    """Return a path relative to the current folder, if it lies in it."""
    path = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path
    return str(path)


def _report(labels: Path) -> dict:
    """Return what is recorded of a folder of pseudo labels."""
    return _json(labels / 'pseudo_labels.json')


def _json(path: Path) -> dict:
    """Return the object in a JSON file; an empty one if there is none: the job is not done."""
    try:
        return read_object(path, '')
    except UserError:
        return {}
