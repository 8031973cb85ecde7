"""What a script cannot do without: errors that say what is missing, and where to put it."""

from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import why_unreadable

_WITHOUT = {'val_dataloader': '; or train without evaluations: --no-validate'}


def require_data(cfg: Config, *loaders: str) -> None:
    """Make sure that the data roots of the named dataloaders exist.

    Raises:
        UserError: one does not; or the config has no such dataloader.
    """
    require_parts(cfg, *loaders)
    for loader in loaders:
        dataset = cfg[loader].dataset
        root = dataset.get('data_root')
        if root and not Path(root).is_dir():
            raise UserError(
                f'data root {root} of {dataset.type} ({loader}) does not exist: put or link the '
                'data set there (data/README.md), or name with --data-root the folder that holds '
                'all data sets, or that of Cityscapes, beside which '
                f'the others lie{_WITHOUT.get(loader, "")}'
            )


def require_parts(cfg: Config, *names: str) -> None:
    """Raise a `UserError` unless the named entries of a config are there, as dicts."""
    for name in names:
        if not isinstance(cfg.get(name), dict):
            raise UserError(
                f'config {cfg.filename} has no {name}, which this script needs '
                f'(it is {cfg.get(name)!r})'
            )


def require_file(path: str | Path | None, what: str, cure: str) -> None:
    """Raise a `UserError` unless ``path`` is a file."""
    if reason := why_unreadable(path) if path else 'does not exist':
        raise UserError(f'{what} {path} {reason}: {cure}')


def require_folder(path: str | Path | None, what: str, cure: str) -> None:
    """Raise a `UserError` unless ``path`` is a folder."""
    if not path or not Path(path).is_dir():
        raise UserError(f'{what} {path} does not exist: {cure}')
