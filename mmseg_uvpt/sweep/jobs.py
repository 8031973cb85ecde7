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
from mmseg_uvpt.engine.run_folder import CONFIG, best_checkpoint, last_checkpoint, record_of
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object
from mmseg_uvpt.sweep.rows import Row, find_rows

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASED = 'get it (model/README.md)'
OWN, SOURCE, ADAPTED = MODELS = ('own', 'released-source', 'released-adapted')


@dataclass(frozen=True)
class Settings:
    """What all jobs of a sweep share.

    Attributes:
        config_root: folder with ``pretrain/`` and ``uni_uvpt/``.
        work_root: folder that takes ``seed<N>/<stage>/<row>/`` and, for other models than its own,
            ``seed<N>-<models>/...``.
        data_root: folder of the data sets; None for the configs'.
        models: one of `MODELS`.
        source_only: whether test jobs score the source models instead of the adapted ones.
        gpus: of a job; 0 for the CPU.
        extra: arguments that every script gets.
    """

    config_root: Path
    work_root: Path
    data_root: str | None = None
    models: str = OWN
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
        models = '' if self.settings.models == OWN else f'-{self.settings.models}'
        return self.settings.work_root / f'seed{self.seed}{models}' / stage / self.row.name

    @property
    def config(self) -> Path | None:
        """Config file; None where the row has none for this stage."""
        return self.row.adaptation

    @property
    def needs(self) -> Path | None:
        """Checkpoint that the job starts from; where a run will make it, a pattern."""
        return self._source_checkpoint()

    @property
    @abstractmethod
    def makes(self) -> Path:
        """What the job leaves behind; a pattern until then."""

    @abstractmethod
    def require(self) -> None:
        """Raise a `UserError` if something that the job needs is not there."""

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

    # checkpoints: those of the work root, or released ones

    def _source_checkpoint(self) -> Path:
        if self.settings.models == OWN:
            return _made(self._folder(Pretraining.stage))
        if self.row.adaptation:
            return Path(self._resolved(self.row.adaptation).model.source_checkpoint)
        return Path(self.cfg.released_checkpoint)

    def _require_source_checkpoint(self) -> None:
        if self.settings.models != OWN:
            require_file(self._source_checkpoint(), 'source model', RELEASED)
        else:
            _require_finished(
                self._folder(Pretraining.stage),
                f'run launcher_pretrain.py, or take the released ones with --models {SOURCE}',
            )


class Training(Job):
    """What both trainings share: they make a checkpoint, and are resumed."""

    @property
    def makes(self) -> Path:
        return _made(self.folder)

    def done(self) -> bool:
        return 'finished' in record_of(self.folder)

    def arguments(self) -> list[str]:
        arguments = [shown(self.config), '--work-dir', str(self.folder), '--seed', str(self.seed)]
        begun = (self.folder / CONFIG).is_file() and not self.done()  # done: it runs anew
        return [*arguments, '--resume'] if begun else arguments


class Pretraining(Training):
    """``pretrain.py``: makes a source model."""

    stage, script = 'pretrain', 'pretrain.py'

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
            require_file(self.needs, 'ImageNet weights', RELEASED)
        require_data(self.cfg, 'train_dataloader', 'val_dataloader')
        prerequisites.check(self.cfg)


class PseudoLabelling(Job):
    """``generate_pseudo_label.py``: labels the target with a source model."""

    stage, script = 'pseudo_label', 'generate_pseudo_label.py'

    @property
    def makes(self) -> Path:
        return self.folder / 'train'

    def require(self) -> None:
        self._require_source_checkpoint()
        require_data(self.cfg, 'target_train_dataloader')

    def done(self) -> bool:
        return bool(_json(self.makes / 'pseudo_labels.json').get('finished'))

    def arguments(self) -> list[str]:
        arguments = ['--config', shown(self.config), '--checkpoint', str(self.needs)]
        return [*arguments, '--pseudo_label_dir', str(self.makes)]


class Adaptation(Training):
    """``train.py``: adapts a source model."""

    stage, script = 'train', 'train.py'

    @property
    def _labels(self) -> PseudoLabelling:
        return PseudoLabelling(self.row, self.seed, self.settings)

    def require(self) -> None:
        self._require_source_checkpoint()
        if not self._labels.done():
            raise UserError(
                f'{self._labels.makes} holds no complete pseudo labels: run '
                'launcher_pseudo_label.py'
            )
        require_data(self.cfg, 'train_dataloader', 'val_dataloader')

    def arguments(self) -> list[str]:
        inputs = ['--source-checkpoint', str(self.needs), '--pseudo-label-dir']
        return [*super().arguments(), *inputs, str(self._labels.makes)]


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
    def needs(self) -> Path:
        if self.settings.source_only:
            return self._source_checkpoint()
        if self.settings.models == ADAPTED:
            return Path(self.cfg.released_checkpoint)
        return _made(self._folder(Adaptation.stage))

    @property
    def makes(self) -> Path:
        return self.folder / 'score.json'

    def require(self) -> None:
        if self.settings.source_only:
            self._require_source_checkpoint()
        elif self.settings.models == ADAPTED:
            require_file(self.needs, 'adapted model', RELEASED)
        else:
            _require_finished(
                self._folder(Adaptation.stage),
                f'run launcher_train.py, or score the released ones with --models {ADAPTED}',
            )
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


def _made(folder: Path) -> Path:
    """Return the checkpoint that a training is kept for: its best, if it looked for that."""
    return best_checkpoint(folder) or last_checkpoint(folder) or folder / 'best_*.pth'


def _require_finished(folder: Path, cure: str) -> None:
    if 'finished' not in record_of(folder):
        raise UserError(f'{folder} holds no finished training: {cure}')


def _json(path: Path) -> dict:
    """Return the object in a JSON file; an empty one if there is none: the job is not done."""
    try:
        return read_object(path, '')
    except UserError:
        return {}
