"""The jobs of the four stages: which script to run, what it needs and what it makes."""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from mmseg_uvpt.checkpoints.hub import is_hub_name, require_findable
from mmseg_uvpt.engine.config.normalisation import initial_weights
from mmseg_uvpt.engine.config.overrides import option_of
from mmseg_uvpt.engine.config.required import require_data, require_file
from mmseg_uvpt.engine.config.training_labels import reads_pseudo_labels
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.work_folder.claim import CONFIG
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object
from mmseg_uvpt.sweep.jobs import PRETRAIN, PSEUDO_LABEL, TEST, TRAIN, Job, Settings, shown
from mmseg_uvpt.sweep.models import RELEASED, Model, choose, is_finished, made_in, source_of
from mmseg_uvpt.sweep.rows import find_rows

IMAGENET = 'get it (model/README.md)'


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

    def _require_data(self) -> None:
        evaluates = '--no-validate' not in self.settings.extra
        require_data(self.cfg, 'train_dataloader', *(['val_dataloader'] if evaluates else []))


class Pretraining(Training):
    """``pretrain.py``: makes a source model."""

    stage, script = PRETRAIN, 'pretrain.py'
    model = newest = None

    @property
    def config(self) -> Path:
        return self.row.pretraining

    @property
    def needs(self) -> Path | None:
        weights = initial_weights(self.cfg)
        return Path(weights) if weights else None

    def require(self) -> None:
        from mmseg_uvpt.augmentation import prerequisites

        if self.needs and is_hub_name(self.needs):
            require_findable(self.needs)  # the job downloads them
        elif self.needs:
            require_file(self.needs, 'ImageNet weights', IMAGENET)
        self._require_data()
        prerequisites.check(self.cfg)


class PseudoLabelling(Job):
    """``generate_pseudo_label.py``: labels the target with a source model."""

    stage, script = PSEUDO_LABEL, 'generate_pseudo_label.py'

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

    stage, script = TRAIN, 'train.py'

    def _recorded(self) -> str | None:
        return source_of(self.folder)

    @property
    def _labels(self) -> Path:
        beside = self.folder.parents[1] / PSEUDO_LABEL / self.row.name_on_target
        return (beside if beside.is_dir() else self._folder(PSEUDO_LABEL)) / 'train'

    @property
    def _curve_run(self) -> Path | None:
        """Work folder of the recipe's own run, where an offline correction is to read the curve."""
        correction = self.cfg.default_hooks.get('label_correction') or {}
        if correction.get('type') != 'OfflineLabelCorrectionHook' or correction.get('record'):
            return None
        return Adaptation(replace(self.row, variant=''), self.seed, self.settings).folder

    def require(self) -> None:
        super().require()
        if self._curve_run and not is_finished(self._curve_run):
            raise UserError(
                f'{self._curve_run} holds no finished training, whose curve the offline correction '
                f'reads: run launcher_train.py --only {self._curve_run.name}/seed{self.seed}'
            )
        if reads_pseudo_labels(self.cfg):
            self._require_labels()
        self._require_data()

    def _require_labels(self) -> None:
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

    def arguments(self) -> list[str]:
        inputs = ['--source-checkpoint', str(self.needs)]
        if reads_pseudo_labels(self.cfg):
            inputs += ['--pseudo-label-dir', str(self._labels)]
        if self._curve_run:
            record = option_of('default_hooks.label_correction.record', str(self._curve_run))
            inputs += ['--cfg-options', record]
        return [*super().arguments(), *inputs]


class Scoring(Job):
    """``test.py``: scores an adapted model, or a source model."""

    script = 'test.py'

    @property
    def stage(self) -> str:
        return 'test_source' if self.settings.source_only else TEST

    @property
    def config(self) -> Path:
        return self.row.pretraining if self.settings.source_only else self.row.adaptation

    @property
    def model(self) -> Model:
        if self.settings.source_only:
            return self._source()
        released = uvpt_config(self.cfg).released_checkpoint
        return choose(self._folder(TRAIN), released, 'launcher_train.py')

    newest = model

    @property
    def folder(self) -> Path:
        training = PRETRAIN if self.settings.source_only else TRAIN
        kind = 'source' if self.settings.source_only else 'adapted'
        beside = self._folder(training).parents[1] / self.stage / self._name_in(self.stage)
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
        only: patterns; a job is taken if its name, or that of an adapted model that begins with
            what it makes, contains something that fits one of them.

    Raises:
        UserError: no job is left.
    """
    rows = find_rows(settings.config_root)
    # by name: variants share the jobs of their source model, made with the config of the first
    found, jobs = {}, {}
    for seed in dict.fromkeys(seeds):
        for row in rows:
            job = STAGES[stage](row, seed, settings)
            job = found.setdefault(job.name, job)
            if job.config and _wanted((job.name, f'{row.adapted_name}/seed{seed}'), only):
                jobs[job.name] = job
    if not jobs:
        if not only:
            raise UserError(f'{settings.config_root} holds no configs for {STAGES[stage].script}')
        raise UserError(f'--only {" ".join(only)} fits none of the jobs {", ".join(found)}')
    return [*jobs.values()]


def _wanted(names: tuple[str, ...], only: list[str]) -> bool:
    return not only or any(fnmatchcase(n, f'*{pattern}*') for n in names for pattern in only)


def _report(labels: Path) -> dict:
    """Return what is recorded of a folder of pseudo labels."""
    return _json(labels / 'pseudo_labels.json')


def _json(path: Path) -> dict:
    """Return the object in a JSON file; an empty one if there is none: the job is not done."""
    try:
        return read_object(path, '')
    except UserError:
        return {}
