"""From arguments to the resolved config: the file, the overrides, the data root."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmseg_uvpt.engine.config import data_root
from mmseg_uvpt.engine.config.classes import name_classes
from mmseg_uvpt.engine.config.keys import check_names, check_options, check_types
from mmseg_uvpt.engine.config.normalisation import fill_normalisation
from mmseg_uvpt.engine.config.overrides import leave_out, merge_options, put
from mmseg_uvpt.engine.config.recorded import as_written
from mmseg_uvpt.engine.config.required import require_parts
from mmseg_uvpt.engine.config.uvpt import translate_options, uvpt_config
from mmseg_uvpt.engine.training.schedule import fill_ends
from mmseg_uvpt.engine.work_folder.claim import CONFIG, RUN
from mmseg_uvpt.errors import UserError, why_not_imported
from mmseg_uvpt.files import why_unreadable
from mmseg_uvpt.shipped import find_config

# entries that are dicts, where they are there at all
DICTS = (
    *('model', 'uvpt', 'optim_wrapper', 'train_cfg', 'default_hooks', 'train_dataloader'),
    *('target_train_dataloader', 'val_dataloader', 'test_dataloader'),
)
# options of the scripts that `acceleration.accelerate` reads in ``cfg.uvpt``
FLAGS = ('plain', 'amp', 'compile', 'low_memory')


def resolve(args: argparse.Namespace, import_modules: bool = True) -> Config:
    """Read the config that a script's arguments name and apply ``--cfg-options``, ``--data-root``.

    Args:
        args: has ``config`` and the options of `options.add_config_options`.
        import_modules: whether to import what the config names in ``custom_imports``; who only
            looks at it saves the seconds that torch takes, and is told of no option that nothing
            reads.

    Returns:
        Config: with every data set where the data root asked for has it, see `data_root`, and a
        schedule that ends with the training.

    Raises:
        UserError: the file is missing or cannot be read; or says what must not be said, or what
            nothing is built from; an option does not fit it, or is read by nothing.
    """
    cfg = _read(args.config, import_modules)
    before, file = data_root.stated(cfg), cfg._cfg_dict
    check_names(cfg)
    options = merge_options(cfg, translate_options(args.cfg_options, cfg))
    if import_modules:
        if any(key.startswith('custom_imports.') for key in options):
            import_modules_from_strings(**cfg.custom_imports)
        check_options(options, file, cfg._cfg_dict)
        check_types(cfg)
        name_classes(cfg)
        for key, value in options.items():
            put(cfg, key, value)  # a number that is given stays, and is refused if it is wrong
        fill_normalisation(cfg)
    for flag in FLAGS:
        if getattr(args, flag, False):
            cfg.merge_from_dict({f'uvpt.{flag}': True})
    leave_out(cfg, options)
    fill_ends(cfg)
    data_root.move(cfg, before, args.data_root or uvpt_config(cfg).data_root)
    return cfg


def resolve_run(args: argparse.Namespace) -> Config:
    """Do as `resolve`, and apply the options of `options.add_runner_options`.

    Returns:
        Config: with ``work_dir``, ``launcher`` and the seed as asked for.

    Raises:
        UserError: see `resolve`; or there is no model.
    """
    cfg = resolve(args)
    require_parts(cfg, 'model')
    cfg.work_dir = args.work_dir or _own_folder(cfg) or cfg.get('work_dir') or _default_folder(cfg)
    cfg.launcher = args.launcher or launcher()
    if args.seed is not None:
        cfg.merge_from_dict({'randomness.seed': args.seed})
    if args.local_rank is not None:
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return cfg


def _own_folder(cfg: Config) -> str | None:
    """Return where a run's own config lies, which may have been moved or copied."""
    path = Path(cfg.filename)
    is_recorded = path.name == CONFIG and (path.parent / RUN).is_file()
    return str(path.parent) if is_recorded else None


def _default_folder(cfg: Config) -> str:
    return str(Path('work_dirs') / Path(cfg.filename).stem)


def launcher() -> str:
    """Return what started this process, as ``--launcher`` names it, where no option says it."""
    return 'pytorch' if 'TORCHELASTIC_RUN_ID' in os.environ else 'none'


def read(path: str | Path, import_modules: bool = True) -> Config:
    """Read a config file, and import what it names in ``custom_imports`` unless told not to.

    Returns:
        Config: as it stands there; with the modules, its classes are those that it names.

    Raises:
        UserError: it is missing, or is no config; the reason is named.
    """
    cfg = _read(path, import_modules)
    if import_modules:
        name_classes(cfg)
        fill_normalisation(cfg)
    return cfg


def _read(path: str | Path, import_modules: bool) -> Config:
    path = find_config(path)
    if reason := why_unreadable(path):
        raise UserError(
            f'config {path} {reason}; the published recipes are '
            'configs/pretrain/*.py and configs/uni_uvpt/*.py'
        )
    if import_modules:  # before what a config of somebody's own names in its place
        import mmseg_uvpt.register  # noqa: F401
    try:
        cfg = Config.fromfile(path, import_custom_modules=import_modules)
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f'config {path} cannot be read: {why_not_imported(error)}') from error
    except (Exception, SystemExit) as error:  # a program: anything can happen in it
        raise UserError(f'config {path} cannot be read: {type(error).__name__}: {error}') from error
    for name in cfg:
        if name in DICTS and not isinstance(cfg[name], dict | None):
            raise UserError(f'config {path}: {name} is {cfg[name]!r}, and must be a dict')
    as_written(cfg)
    uvpt_config(cfg)
    return cfg


def score_that_counts(cfg: Config) -> str | None:
    """Return the score by which candidates are judged, or else the best checkpoint is kept."""
    hooks = cfg.get('default_hooks') or {}
    selection, checkpoint = (hooks.get(name) or {} for name in ('selection', 'checkpoint'))
    best = checkpoint.get('save_best')
    first = best[0] if isinstance(best, list | tuple) and best else best  # as mmengine has it
    return selection.get('score') or (None if first == 'auto' else first)
