"""What is kept of a finished run: a small JSON file, which is committed.

One of each source model, with the ground truth of its images, and one of each adaptation. Pixels
are counted an image, so that tables can draw images anew (bootstrap).
"""

import json
import re
import shlex
import statistics
from collections.abc import Collection, Iterator
from pathlib import Path

from mmseg_uvpt.checkpoints.hashes import weights_of
from mmseg_uvpt.demo.chain import chosen_iterations, scores, stages
from mmseg_uvpt.demo.settings import Settings
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint, run_record_of
from mmseg_uvpt.engine.work_folder.hours_and_hardware import hardware
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object, write_text
from mmseg_uvpt.report.correction_gain import against_truth
from mmseg_uvpt.report.run_folder import RunFolder
from mmseg_uvpt.selection.committee import GUARDED, TARGET_LABELS
from mmseg_uvpt.shipped import CHECKOUT, shipped

# the checkpoints that count, beside the one that is guarded
SOURCE, LAST_ONE = 'source', 'last'
BY_LABELS = 'by target labels'  # the best of all evaluations, which only labels can tell
_AGAIN = 'delete the folder, and run it again'
SOURCE_SCORE = 'source-only/score.json'
# what a table is made of
_OF_SOURCE = ('backbone', 'seed', 'weights_sha256', 'ground_truth_pixels', 'counts')
_OF_RUN = (
    *('row', 'method', 'tuner', 'variant', 'backbone', 'seed', 'source_weights_sha256', 'mIoU'),
    *('iteration', 'parameters', 'iterations', 'seconds_per_iteration', 'counts'),
)
_NUMBERS = re.compile(r'\[[\d\s,.]+\]')


def path_of(records: Path, settings: Settings, row: str | None = None) -> Path:
    """Return where the record of a run lies; of its source model with ``row='source'``."""
    return records / settings.backbone / f'{row or settings.row}_seed{settings.seed}.json'


def source_record(settings: Settings, root: Path) -> dict:
    """Return what is kept of a source model.

    Raises:
        UserError: a file of the run is missing, or was made before frames were counted each.
    """
    score = _score(root / SOURCE_SCORE)
    each = score['of_each_frame']
    return {
        **{'backbone': settings.backbone, 'seed': settings.seed, 'classes': score['classes']},
        'weights_sha256': _weights(root),
        'train_frames': settings.train_frames,
        'mIoU': score['mIoU19'],
        'ground_truth_pixels': each['ground_truth_pixels'],
        'counts': _counts(each),
    }


def run_record(settings: Settings, root: Path) -> dict:
    """Return what is kept of an adaptation; see `source_record`.

    Args:
        settings: of the run.
        root: folder of all runs with this source model.
    """
    folder = root / settings.folder
    files = RunFolder(folder, settings.row)
    found = {i: _score(path) for i, (_, path) in scores(folder).items()}
    source, run = _score(root / SOURCE_SCORE), run_record_of(folder)
    start = run['starts'][-1]
    counts = {str(i): _counts(score['of_each_frame']) for i, score in found.items()}
    if settings.former:
        found[0] = _score(root / settings.former.folder / 'score.json')
        counts['0'] = _counts(found[0]['of_each_frame'])
    found.setdefault(0, source)
    iterations = _iterations(folder, found)
    named = {SOURCE: source, **{name: found[i] for name, i in iterations.items()}}
    record = {
        **{'row': settings.row, 'method': settings.method, 'tuner': _tuner(settings)},
        **{'variant': settings.variant, 'backbone': settings.backbone, 'seed': settings.seed},
        'source_weights_sha256': _weights(root),
        'mIoU': {name: score['mIoU19'] for name, score in named.items()},
        'iteration': iterations,
        'IoU': {
            of_class: [_two(score['IoU'][of_class]) for score in named.values()]
            for of_class in source['classes']
        },
        'label_correction': against_truth(files),
        'parameters': start.get('parameters', {}),
        'iterations': run['iterations'],
        'seconds_per_iteration': _seconds_per_iteration(files),
        **{'git': start['git'], 'finished': run['finished'], 'hardware': hardware(folder)},
        'commands': list(_commands(settings, root)),
        'selection': _selection(files),
        'counts': counts,
    }
    if files.problems:
        raise UserError(files.problems[0])
    return record


def write_record(path: Path, record: dict) -> None:
    """Write a record, whole, with a list of numbers a line."""
    text = json.dumps(record, indent=1, allow_nan=False)
    write_text(path, _NUMBERS.sub(lambda found: re.sub(r'\s+', '', found[0]), text) + '\n')


def read_record(path: Path) -> dict:
    """Read a record.

    Raises:
        UserError: it cannot be read, is not what its name says, or lacks an entry.
    """
    cure = 'restore it, or delete it and run it again'
    record = read_object(path, cure)
    is_source = path.name.startswith(f'{SOURCE}_')
    lacks = [name for name in (_OF_SOURCE if is_source else _OF_RUN) if name not in record]
    if lacks:
        raise UserError(f'{path} has no {", ".join(lacks)}: {cure}')
    name = f'{record["backbone"]}/{SOURCE if is_source else record["row"]}_seed{record["seed"]}'
    if path.with_suffix('').parts[-2:] != tuple(name.split('/')):
        raise UserError(f'{path} is the record of {name}: rename it')
    return record


def require_same_source(path: Path, root: Path) -> None:
    """Make sure that the record of a source model is of the one in ``root``.

    Raises:
        UserError: it is of another one, whose adaptations cannot be compared with this one's.
    """
    if read_record(path)['weights_sha256'] != _weights(root):
        raise UserError(
            f'{path} is of another source model than that in {root}: go on in the work folder that '
            'it was made in, or keep records of this one elsewhere with --records'
        )


def _iterations(folder: Path, scored: Collection[int]) -> dict[str, int]:
    """Return the iterations of the checkpoints that count, where they are among those scored.

    Without a record of the selection, the best is that of the evaluations.
    """
    files, chosen = scores(folder), chosen_iterations(folder)
    last = next(iter(files))
    best = next((i for i, (_, path) in files.items() if path.stem == 'score_best'), last)
    named = {
        LAST_ONE: last,
        GUARDED: chosen.get(GUARDED),
        BY_LABELS: chosen.get(TARGET_LABELS, best),
    }
    return {name: iteration for name, iteration in named.items() if iteration in scored}


def _score(path: Path) -> dict:
    score = read_object(path, _AGAIN)
    if 'of_each_frame' not in score:
        raise UserError(
            f'{path} does not say what was counted in each frame, because an older version made '
            f'it: delete {path.parents[1]}/done/test_*.json and run the same command again, which '
            'then scores anew'
        )
    return score


def _counts(each: dict) -> dict:
    return {name: each[name] for name in ('intersection', 'union')}


def _weights(root: Path) -> str:
    source = last_checkpoint(root / 'pretrain')
    if source is None:
        raise UserError(f'{root}/pretrain holds no checkpoint iter_*.pth: {_AGAIN}')
    return weights_of(source)


def _tuner(settings: Settings) -> str:
    recipe = read(shipped(settings.adaptation), import_modules=False)
    return settings.tuner or recipe.model.tuner.type


def _two(iou: float | None) -> float | None:
    return None if iou is None else round(iou, 2)


def _seconds_per_iteration(run: RunFolder) -> float | None:
    """Return the median of what was logged."""
    times = [logged['time'] for logged in run.logged if {'iter', 'time'} <= logged.keys()]
    return round(statistics.median(times), 3) if times else None


def _selection(run: RunFolder) -> dict | None:
    """Return the criteria and the score of each candidate, and what each rule chose."""
    if not run.selection:
        return None
    return {name: run.selection[name] for name in ('candidates', 'choices')}


def _commands(settings: Settings, root: Path) -> Iterator[str]:
    """Yield the command lines, with paths as seen from the repository."""
    above = root.parent
    shown = above.relative_to(CHECKOUT) if above.is_relative_to(CHECKOUT) else 'WORK_DIR'
    for stage in stages(settings, root):
        for command in stage.commands:
            yield shlex.join(['python', *command]).replace(str(above), str(shown))
