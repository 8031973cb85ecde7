"""A work folder holds one run: who may start in it, and from where a run goes on."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object, why_unreadable

CONFIG, RECORD = 'config.py', 'run.json'
_ITERATION = re.compile(r'iter_(\d+)\.pth$')
# entries that say how and where a run is executed, not what it computes
_EXECUTION = re.compile(
    r'^(launcher|resume|load_from|work_dir|log_level|env_cfg\..*)$'
    r'|\.(num_workers|persistent_workers|pin_memory|prefetch_factor)$'
)


def last_checkpoint(folder: str | Path) -> Path | None:
    """Return the newest checkpoint of a run, by its iteration; None if there is none.

    The files are whole (`WholeCheckpointHook`), so their names are enough; the text file that
    mmengine keeps beside them holds an absolute path and is wrong once a folder was moved.
    """
    return _latest(Path(folder).glob('iter_*.pth'))


def best_checkpoint(folder: str | Path) -> Path | None:
    """Return the checkpoint of a run that scored best so far; None if there is none.

    Two are there if the run was killed before it removed the one that the later one replaces.
    """
    return _latest(Path(folder).glob('best_*_iter_*.pth'))


def _latest(paths: Iterable[Path]) -> Path | None:
    found = {int(m[1]): path for path in paths if (m := _ITERATION.search(path.name))}
    return found[max(found)] if found else None


def record_of(folder: str | Path) -> dict:
    """Return what ``run.json`` of a work folder says; empty if it is not there.

    Raises:
        UserError: it cannot be read.
    """
    path = Path(folder) / RECORD
    cure = 'restore the file or delete it'
    found = read_object(path, cure) if os.path.lexists(path) else {}
    if not isinstance(found.get('starts', []), list):
        raise UserError(f'{path} holds no list of "starts": {cure}')
    return found


def claim(cfg: Config, resume: bool) -> Path | None:
    """Decide whether a run of ``cfg`` may use its work folder. Nothing is written.

    Args:
        cfg: resolved config with ``work_dir``.
        resume: whether an earlier run is to be continued.

    Returns:
        Path: the checkpoint to continue from; None for a run from the beginning, which is also
        what resuming a run means that ended before its first checkpoint.

    Raises:
        UserError: the folder holds the run of another config; or one of this config, and
            ``resume`` is not set; or there is nothing to resume.
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
        if resume:
            raise UserError(f'nothing to resume: {folder} holds no run; start it without --resume')
        return None
    _refuse_other(folder, stored, cfg)
    if not resume:
        reached = f'up to {checkpoint.name}' if checkpoint else 'that has no checkpoint yet'
        raise UserError(
            f'work folder {folder} already holds a run of this config, {reached}: continue it with '
            '--resume, or choose another --work-dir'
        )
    return checkpoint


def _refuse_other(folder: Path, stored: Path, cfg: Config) -> None:
    reason = why_unreadable(stored)
    try:
        there = None if reason else Config.fromfile(stored, import_custom_modules=False)
    except (Exception, SystemExit) as error:  # a program: anything can happen in it
        reason = f'cannot be read ({type(error).__name__}: {error})'
    if reason:
        raise UserError(
            f'{stored}, which says what run work folder {folder} holds, {reason}: restore the '
            'file, or choose another --work-dir'
        )
    lines = list(differences(there, cfg))
    if lines:
        more = f'; and {len(lines) - 4} more' if len(lines) > 4 else ''
        raise UserError(
            f'work folder {folder} holds the run of another config: {"; ".join(lines[:4])}{more}. '
            'Choose another --work-dir, or give the same config and options as that run'
        )


def differences(there: Config, here: Config) -> Iterator[str]:
    """Yield a line for each entry in which two configs differ, other than in their execution."""
    old, new = (dict(_flat(_normal(cfg))) for cfg in (there, here))
    for key in sorted(old.keys() | new.keys()):
        if not _EXECUTION.search(key) and old.get(key) != new.get(key):
            yield f'{key} is {old.get(key)!r} there, {new.get(key)!r} here'


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
