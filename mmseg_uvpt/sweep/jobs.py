"""What the jobs of a sweep have in common: a row, a seed, a folder, a model to start from."""

import argparse
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.scripts import options
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.shipped import CHECKOUT, INSTALLED
from mmseg_uvpt.subcommands import module_arguments
from mmseg_uvpt.sweep.models import Model, choose, released_source
from mmseg_uvpt.sweep.rows import Row

# stages and their folders
PRETRAIN, PSEUDO_LABEL, TRAIN, TEST = 'pretrain', 'pseudo_label', 'train', 'test'


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
    options.add_config_options(parser)
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
        """Source model or adapted model, and seed."""
        return f'{self._name_in(self.stage)}/seed{self.seed}'

    @property
    def folder(self) -> Path:
        """Where the job's results, log and record are."""
        return self._folder(self.stage)

    def _folder(self, stage: str) -> Path:
        usual, old = self._place(stage), self._place(stage, '-released-source')
        return old if old.is_dir() and not usual.is_dir() else usual

    def _place(self, stage: str, models: str = '') -> Path:
        return self.settings.work_root / f'seed{self.seed}{models}' / stage / self._name_in(stage)

    def _name_in(self, stage: str) -> str:
        if stage == PRETRAIN:
            return self.row.name
        return self.row.adapted_name if stage in (TRAIN, TEST) else self.row.name_on_target

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
        folder = self._folder(PRETRAIN)
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
        script = module_arguments(self.script) if INSTALLED else [shown(CHECKOUT / self.script)]
        torchrun, gpus = 'mmseg_uvpt.engine.training.torchrun', self.settings.gpus
        launch = ['-m', torchrun, f'--nproc-per-node={gpus}'] if gpus > 1 else []
        return [sys.executable, *launch, *script, *arguments]


def shown(path: Path) -> str:
    """Return a path relative to the current folder, if it lies in it."""
    path = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path
    return str(path)
