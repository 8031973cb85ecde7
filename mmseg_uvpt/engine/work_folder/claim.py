"""A work folder holds one run: who may start in it, and from where a run goes on."""

import os
import re
import shlex
import zipfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mmseg_uvpt.engine.config.complete import complete
from mmseg_uvpt.engine.config.recorded import as_written
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import open_regular, read_object_if_there, why_unreadable

CONFIG, RUN, ENVIRONMENT = 'config.py', 'run.json', 'environment.json'
SOURCE = '--source-checkpoint'  # names the source model of an adaptation
_OPTIMIZER = 'optim_wrapper.optimizer.type'
_SCHEDULE = ('optim_wrapper.', 'param_scheduler')
_ITERATION = re.compile(r'iter_(\d+)\.pth$')
# entries that say how and where a run is executed, not what it computes; what those of uvpt do to
# a computation stands where it is done (data roots in the data sets, amp in the optimiser's type)
_EXECUTION = re.compile(
    r'^(launcher|resume|work_dir|log_level|env_cfg\..*|uvpt(\..*)?)$'
    r'|^(val|test)_cfg\.type$|^tta_model\.'
    r'|\.(num_workers|persistent_workers|pin_memory|prefetch_factor)$'
)


def last_checkpoint(folder: str | Path) -> Path | None:
    """Return the newest checkpoint of a run, by its iteration; None if there is none.

    The text file that mmengine keeps beside them holds an absolute path and is wrong once a
    folder was moved.
    """
    return _latest(Path(folder).glob('iter_*.pth'))


def last_whole_checkpoint(folder: str | Path) -> tuple[Path | None, list[Path]]:
    """Return the newest checkpoint of a run that is not damaged, and the newer ones that are.

    Files are written whole (`WholeCheckpointHook`), so damage is the work of a disk, or of a copy
    that was not finished. Nothing is deleted.

    Raises:
        UserError: there are checkpoints, and all of them are damaged.
    """
    damaged = []
    for path in _by_iteration(Path(folder).glob('iter_*.pth')):
        if _is_whole(path):
            return path, damaged
        damaged.append(path)
    if damaged:
        raise UserError(
            f'no checkpoint of {folder} can be read, all are damaged: '
            f'{", ".join(path.name for path in damaged)}. Restore one of them from a copy, or '
            'start again in another --work-dir'
        )
    return None, []


def _is_whole(path: Path) -> bool:
    """Tell whether all that a checkpoint holds agrees with its checksums."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except Exception:  # damage can make any of zipfile's parts fail
        return False


def best_checkpoint(folder: str | Path) -> Path | None:
    """Return the checkpoint of a run that scored best so far; None if there is none.

    Two are there if the run was killed before it removed the one that the later one replaces. Of
    several scores (``save_best=[...]``) the first counts.
    """
    found = list(Path(folder).glob('best_*_iter_*.pth'))
    if len({path.name.partition('_iter_')[0] for path in found}) > 1:
        first = _recorded(Path(folder) / CONFIG).default_hooks.checkpoint.save_best[0]
        found = [path for path in found if path.name.startswith(f'best_{first}_iter_')]
    return _latest(found)


def _latest(paths: Iterable[Path]) -> Path | None:
    return next(iter(_by_iteration(paths)), None)


def _by_iteration(paths: Iterable[Path]) -> list[Path]:
    """Return checkpoints, the newest first."""
    found = {int(m[1]): path for path in paths if (m := _ITERATION.search(path.name))}
    return [found[number] for number in sorted(found, reverse=True)]


def run_record_of(folder: str | Path) -> dict:
    """Return what ``run.json`` of a work folder says; empty if it is not there.

    Raises:
        UserError: it cannot be read.
    """
    path = Path(folder) / RUN
    cure = 'restore the file or delete it'
    found = read_object_if_there(path, cure)
    if not isinstance(found.get('starts', []), list):
        raise UserError(f'{path} holds no list of "starts": {cure}')
    return found


def command_words(command: object) -> list[str]:
    """Return the words of a recorded command, see `run_record_of`; none of what is no command."""
    try:
        return shlex.split(command) if isinstance(command, str) else []
    except ValueError:  # an open quote
        return []


def option_values(command: object, option: str) -> list[str]:
    """Return what a recorded command gives an option, such as `SOURCE`."""
    words = command_words(command)
    found = [after for word, after in pairwise(words) if word == option]
    return found + [w.partition('=')[2] for w in words if w.startswith(f'{option}=')]


class Claim(NamedTuple):
    """Where a run goes on in its work folder, and what is to be said of it.

    Attributes:
        checkpoint: to continue from; None for a run from the beginning, which is also what
            resuming a run means that ended before its first checkpoint, or before it began.
        warnings: sentences for the log.
        follows_config: whether optimiser and schedule of the config are others than the run had,
            and the run goes on by them.
    """

    checkpoint: Path | None
    warnings: list[str]
    follows_config: bool = False


def claim(cfg: Config, resume: bool, anyway: bool = False) -> Claim:
    """Decide whether a run of ``cfg`` may use its work folder. Nothing is written.

    Args:
        cfg: resolved config with ``work_dir``.
        resume: whether an earlier run is to be continued.
        anyway: whether to continue it though its config differs.

    Raises:
        UserError: the folder holds the run of another config; or one of this config, and
            ``resume`` is not set; or there is no folder to resume in.
    """
    folder = Path(cfg.work_dir)
    if folder.exists() and not folder.is_dir():
        raise UserError(f'work folder {folder} is a file; choose another --work-dir')
    checkpoint = last_checkpoint(folder)
    stored = folder / CONFIG
    if not os.path.lexists(stored):
        if checkpoint:
            raise UserError(
                f'work folder {folder} holds {checkpoint.name} but no {CONFIG} that says which run '
                'made it; choose another --work-dir'
            )
        if resume and not folder.is_dir():
            raise UserError(f'nothing to resume: there is no {folder}; start it without --resume')
        # a run that is stopped before its first iteration has not said what it is
        return Claim(None, [f'{folder} holds no run yet: one begins'] if resume else [])
    warnings, follows_config = _compare(folder, stored, cfg, anyway)
    if not resume:
        reached = f'up to {checkpoint.name}' if checkpoint else 'that has no checkpoint yet'
        raise UserError(
            f'work folder {folder} already holds a run of this config, {reached}: continue it with '
            '--resume, or choose another --work-dir'
        )
    checkpoint, damaged = last_whole_checkpoint(folder)
    warnings += [
        f'{path} is damaged: the run goes on from {checkpoint.name} instead' for path in damaged
    ]
    return Claim(checkpoint, warnings, follows_config)


def _compare(folder: Path, stored: Path, cfg: Config, anyway: bool) -> tuple[list[str], bool]:
    reason = why_unreadable(stored)
    try:
        there = None if reason else _recorded(stored)
    except (Exception, SystemExit) as error:  # a program: anything can happen in it
        reason = f'cannot be read ({type(error).__name__}: {error})'
    if reason:
        raise UserError(
            f'{stored}, which says what run work folder {folder} holds, {reason}: restore the '
            'file, or choose another --work-dir'
        )
    lines, changed = list(differences(there, cfg)), {k for k, *_ in changed_entries(there, cfg)}
    if _OPTIMIZER in changed and anyway:
        raise UserError(
            f'{_OPTIMIZER}: another optimiser cannot go on with what that of the run kept; choose '
            'another --work-dir'
        )
    if lines and anyway:
        warnings = [f'the config differs from that of the run: {line}' for line in lines]
        return warnings, any(key.startswith(_SCHEDULE) for key in changed)
    if lines:
        more = f'; and {len(lines) - 4} more' if len(lines) > 4 else ''
        raise UserError(
            f'work folder {folder} holds the run of another config: {"; ".join(lines[:4])}{more}. '
            'Choose another --work-dir, give the same config and options as that run, or go on '
            'with it all the same by --resume-anyway'
        )
    return [], False


def _recorded(path: Path) -> Config:
    cfg = Config.fromfile(path, import_custom_modules=False)
    as_written(cfg)
    complete(cfg)
    return cfg


def differences(there: Config, here: Config) -> Iterator[str]:
    """Yield a line for each entry in which two configs differ, other than in their execution."""
    for key, old, new in changed_entries(there, here):
        yield f'{key} is {old!r} there, {new!r} here'


def changed_entries(there: Config, here: Config) -> Iterator[tuple[str, object, object]]:
    """Yield dotted key and both values of each such entry; None where one has no such entry."""
    old, new = (dict(_flat(_normal(cfg))) for cfg in (there, here))
    for key in sorted(old.keys() | new.keys()):
        if not _EXECUTION.search(key) and old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def _normal(cfg: Config) -> dict:
    """Return the config as it reads after being written to a file."""
    return Config.fromstring(cfg.pretty_text, '.py').to_dict()


def _flat(node: object, prefix: str = '') -> Iterator[tuple[str, object]]:
    """Yield (dotted key, value) for each leaf; empty dicts and lists are leaves."""
    entries = ()
    if isinstance(node, dict):
        entries = node.items()
    elif isinstance(node, list | tuple):
        entries = enumerate(node)
    if not entries or not node:
        yield prefix, node
        return
    for key, value in entries:
        yield from _flat(value, f'{prefix}.{key}' if prefix else str(key))
