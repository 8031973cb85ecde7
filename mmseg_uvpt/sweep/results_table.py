"""The published table with what was measured beside it, collected from work folders.

Only JSON files are read there, none of the configs: those of other people's runs are code.
"""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.work_folder.claim import run_record_of
from mmseg_uvpt.engine.work_folder.hours_and_hardware import hardware, hours_of
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.files import read_object_if_there
from mmseg_uvpt.selection.committee import GUARDED, LAST, TARGET_LABELS
from mmseg_uvpt.selection.conclusion import CHECKPOINT, SELECTION
from mmseg_uvpt.sweep.models import (
    MISSING,
    OWN,
    RELEASED,
    is_begun,
    is_released,
    released_source,
    source_of,
)
from mmseg_uvpt.sweep.rows import Row, find_rows
from mmseg_uvpt.sweep.scores import SIZES, is_score

# version 0.1 kept what it made of released models in folders of their own
_SEED = re.compile(r'seed(\d+)(-released-(source|adapted))?')
CHOICES = (LAST, GUARDED, TARGET_LABELS)  # rules whose choices stand side by side
_OF_RELEASED = 'own, of the released source'
_CURE = 'delete it and run the job again'


@dataclass
class Run:
    """What one seed of a row came to; None where there is nothing (yet).

    Attributes:
        root: work root.
        seed: of the run.
        source_model: ``'own'`` or ``'released'``, whichever was scored, or else adapted;
            ``'missing input'`` while its training is not finished.
        adapted_model: the same of the adapted model; ``'own, of the released source'`` where that
            is what was adapted.
        source: mIoU in percent of the source model by the number of classes.
        adapted: the same of the adapted model.
        checkpoint: that the adapted score is of.
        chosen: by the number of classes that the run's choice went by, the mIoU that its selection
            records of the last model, of what was chosen without labels, and by target labels.
        iterations: of the finished adaptation.
        hours: that it took, all of its starts together.
        hardware: that it, or else the scoring, ran on.
        parameters: that the adaptation trained.
        test: what the test of the adapted model wrote; empty where there is none.
    """

    root: str
    seed: int
    source_model: str | None = None
    adapted_model: str | None = None
    source: dict[int, float | None] = field(default_factory=dict)
    adapted: dict[int, float | None] = field(default_factory=dict)
    checkpoint: str | None = None
    chosen: dict[int, dict[str, float]] = field(default_factory=dict)
    is_compared_alike: bool = True  # by the same kind of test, and with the source it was made of
    iterations: int | None = None
    hours: float | None = None
    hardware: str | None = None
    parameters: int | None = None
    test: dict = field(default_factory=dict)

    @cached_property
    def counts(self) -> ImageCounts | None:
        """Pixels of each image by the adapted model; None where they were not counted so."""
        each = self.test.get('of_each_frame')
        return each and ImageCounts.from_json(each)

    @property
    def chosen_by(self) -> str:
        """What the adapted model was chosen by; empty for a released one, or none."""
        if not isinstance(self.checkpoint, str) or self.adapted_model in (RELEASED, MISSING):
            return ''
        name = Path(self.checkpoint).name
        if name == CHECKPOINT:
            return 'its recipe, without labels'
        return TARGET_LABELS if name.startswith('best_') else LAST

    def gain(self, size: int) -> float | None:
        """Return adapted minus source-only mIoU, where the one was made of the other."""
        scores = self.source.get(size), self.adapted.get(size)
        made_of = OWN if self.adapted_model == OWN else RELEASED
        fits = self.source_model == made_of and self.is_compared_alike
        return scores[1] - scores[0] if fits and None not in scores else None

    def is_like(self, other: 'Run') -> bool:
        """Tell whether two runs have models of the same kinds, as far as they have any."""
        pairs = (
            (self.source_model, other.source_model),
            (self.adapted_model, other.adapted_model),
        )
        return all(len({*pair} - {None, MISSING}) < 2 for pair in pairs)


@dataclass
class Result:
    """A row of the benchmark: as published, and as measured.

    Attributes:
        row: of the job list.
        released: file name of the adapted model that was released; None if none was.
        published_source: mIoU in percent by the number of classes.
        published_adapted: the same.
        runs: what was measured, a seed each, with models of one kind: see `Run.is_like`.
    """

    row: Row
    released: str | None
    published_source: dict[int, float]
    published_adapted: dict[int, float]
    runs: list[Run]

    @property
    def facts(self) -> dict:
        """Seeds, iterations, mean hours (None where no run says) and hardware of the runs.

        And by what the adapted models made here were chosen.
        """
        hours = [run.hours for run in self.runs if run.hours is not None]
        return {
            'chosen_by': sorted({run.chosen_by for run in self.runs if run.chosen_by}),
            'seeds': [run.seed for run in self.runs],
            'iterations': sorted({run.iterations for run in self.runs if run.iterations}),
            'hours': statistics.mean(hours) if hours else None,
            'hardware': sorted({run.hardware for run in self.runs if run.hardware}),
            'parameters': sorted({run.parameters for run in self.runs if run.parameters}),
        }

    @property
    def sizes(self) -> list[int]:
        """Class sets that count for the row: those published, else all."""
        published = self.published_adapted or self.published_source
        return [s for s in SIZES if s in published or not published]

    def published(self, size: int) -> tuple[float | None, float | None, float | None]:
        """Return what was published: source-only, adapted, and the gain."""
        source, adapted = self.published_source.get(size), self.published_adapted.get(size)
        return source, adapted, None if None in (source, adapted) else round(adapted - source, 6)

    def models(self, which: str) -> str:
        """Return ``'source_model'`` or ``'adapted_model'`` of the runs; empty where none is."""
        found = [getattr(run, which) for run in self.runs]
        return next(
            (f for f in found if f not in (None, MISSING)), MISSING if MISSING in found else ''
        )

    def measured(self, what: str, size: int) -> list[float]:
        """Return ``'source'``, ``'adapted'`` or ``'gain'`` of each run that has it."""
        values = [
            run.gain(size) if what == 'gain' else getattr(run, what).get(size) for run in self.runs
        ]
        return [value for value in values if value is not None]

    def measured_choice(self, rule: str, size: int) -> list[float]:
        """Return the mIoU of what a rule of `CHOICES` chose, of each run that has it."""
        values = [run.chosen.get(size, {}).get(rule) for run in self.runs]
        return [value for value in values if value is not None]


def collect(config_root: Path, work_roots: Sequence[Path]) -> list[Result]:
    """Return all rows of the benchmark with what the work roots hold of them.

    A row comes more than once where runs of it have own and released models: their scores have no
    common mean.

    Args:
        config_root: see `find_rows`.
        work_roots: folders that launchers worked in.

    Raises:
        UserError: a work root is missing, or a file in it cannot be read.
    """
    for root in work_roots:
        if not root.is_dir():
            raise UserError(f'work root {root} does not exist; launchers make it with --work-root')
    results = []
    for row in find_rows(config_root):
        cfg = read(row.adaptation or row.pretraining, import_modules=False)
        said = uvpt_config(cfg)
        adapted = said.released_checkpoint if row.adaptation else None
        runs = [
            run
            for root in dict.fromkeys(root.resolve() for root in work_roots)
            for seed, folder in _seeds(root)
            if (run := _run(row, root, seed, folder, (released_source(cfg), adapted)))
        ]
        known = [_by_size((said.published or {}).get(which, {})) for which in ('source', 'adapted')]
        for alike in _alike(runs) or [[]]:
            results.append(Result(row, adapted and Path(adapted).name, *known, alike))
    return results


def _seeds(root: Path) -> list[tuple[int, Path]]:
    """Return the seeds of a work root and their folders, in order."""
    found = ((_SEED.fullmatch(folder.name), folder) for folder in root.iterdir())
    return sorted((int(m[1]), folder) for m, folder in found if m)


def _alike(runs: Sequence[Run]) -> list[list[Run]]:
    groups: list[list[Run]] = []
    for run in runs:
        group = next((g for g in groups if all(map(run.is_like, g))), None)
        if group is None:
            groups.append(group := [])
        group.append(run)
    return groups


def _run(
    row: Row, root: Path, seed: int, folder: Path, released: tuple[str | None, str | None]
) -> Run | None:
    """Return what a seed's folder holds of a row; None if nothing."""
    source = _scores(folder / 'test_source' / row.name_on_target / 'score.json')
    training, test = folder / 'train' / row.adapted_name, folder / 'test' / row.adapted_name
    adapted = _scores(test / 'score.json')
    record = run_record_of(training)
    pretraining = folder / 'pretrain' / row.name
    unfinished = is_begun(pretraining) and 'finished' not in run_record_of(pretraining)
    if not (source or adapted or is_begun(training) or unfinished):
        return None
    finished, iterations = 'finished' in record, record.get('iterations')
    if finished and type(iterations) is not int:
        raise UserError(f'{training}: run.json says {iterations!r} iterations, {_CURE}')
    made_of = source_of(training)
    source_model = _origin(source.get('checkpoint') if source else made_of, released[0])
    if unfinished and not source:
        source_model = MISSING
    adapted_model = _origin(adapted.get('checkpoint'), released[1])
    if adapted_model == OWN and made_of and is_released(made_of, released[0]):
        adapted_model = _OF_RELEASED
    if not adapted and is_begun(training) and not finished:
        adapted_model = MISSING
    return Run(
        root=str(root),
        seed=seed,
        source_model=source_model,
        adapted_model=adapted_model,
        source=_by_size(source),
        adapted=_by_size(adapted),
        checkpoint=adapted.get('checkpoint'),
        chosen=_chosen(training / SELECTION),
        is_compared_alike=_is_alike(source, adapted, made_of),
        iterations=iterations if finished else None,
        hours=hours_of(training, record) if finished else None,
        hardware=hardware(training) or hardware(test),
        parameters=_parameters(record),
        test=adapted,
    )


def _chosen(path: Path) -> dict[int, dict[str, float]]:
    """Return `Run.chosen` as a record of a selection says it; empty without a score of a mean."""
    found = read_object_if_there(path, _CURE)
    size = str(found.get('metric')).removeprefix('mIoU')
    if not size.isdigit():
        return {}
    scores = {each['iteration']: each['score'] for each in found['candidates']}
    choices = {
        rule: scores.get(found['choices'].get(rule, {}).get('iteration')) for rule in CHOICES
    }
    return {int(size): {rule: score for rule, score in choices.items() if is_score(score)}}


def _parameters(record: dict) -> int | None:
    starts = record.get('starts') or [{}]
    return (starts[-1].get('parameters') or {}).get('trainable')


def _origin(checkpoint: str | None, released: str | None) -> str | None:
    """Return where a checkpoint is from; None where there is none."""
    if not checkpoint:
        return None
    return RELEASED if is_released(checkpoint, released) else OWN


def _is_alike(source: dict, adapted: dict, made_of: str | None) -> bool:
    """Tell whether the difference of two tests is what an adaptation gained."""
    scored = source.get('checkpoint')
    other = made_of and scored and Path(made_of).name != Path(scored).name
    return not other and all(source.get(k) == adapted.get(k) for k in ('aug_test', 'amp', 'frames'))


def _by_size(scores: dict) -> dict[int, float]:
    named = {size: scores.get(f'mIoU{size}') for size in SIZES}
    return {size: score for size, score in named.items() if score is not None}


def _scores(path: Path) -> dict:
    """Return the result of a test; empty where there is none."""
    found = read_object_if_there(path, _CURE)
    for name in [f'mIoU{size}' for size in SIZES]:
        if found.get(name) is not None and not is_score(found[name]):
            raise UserError(f'{path} says {name} is {found[name]!r}, no percentage: {_CURE}')
    return found
