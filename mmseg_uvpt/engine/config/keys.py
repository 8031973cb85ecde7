"""Which entries of a config are read, and what is said of one that is not.

mmengine merges whatever it is given into a config, so that a misspelt key has no effect and nobody
says so. Here the names are those that mmengine, mmseg and this project read: at the top a list,
below it the arguments of what is built (`known_arguments.arguments_of`).
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from mmengine.config import Config

from mmseg_uvpt.engine.config.uvpt import MOVED
from mmseg_uvpt.errors import UserError

# of mmengine's runner, and of ours
READ = frozenset(
    {
        *('auto_scale_lr', 'custom_hooks', 'data_preprocessor', 'default_hooks'),
        *('default_scope', 'env_cfg', 'experiment_name', 'launcher', 'load_from', 'log_level'),
        *('log_processor', 'model', 'optim_wrapper', 'param_scheduler', 'randomness', 'resume'),
        *('test_cfg', 'test_dataloader', 'test_evaluator', 'train_cfg', 'train_dataloader'),
        *('val_cfg', 'val_dataloader', 'val_evaluator', 'visualizer', 'work_dir'),
        *('activation_checkpointing', 'custom_imports', 'efficient_conv_bn_eval'),
        *('find_unused_parameters', 'model_wrapper_cfg', 'sync_bn'),
        *('metainfo', 'target_train_dataloader', 'tta_model', 'tta_pipeline', 'uvpt'),
    }
)
# what files call their variables
VARIABLES = frozenset({'train_pipeline', 'val_pipeline', 'test_pipeline'})
_TYPO = 0.85  # of difflib: train_dataloder and sync_b are above it, img_scale and load below


def check_names(cfg: Config) -> None:
    """Make sure that no variable of a config file looks like a misspelt entry.

    Raises:
        UserError: names it, and the entry that it looks like.
    """
    for name in cfg:
        if name not in READ | VARIABLES and (meant := _misspelt(name)):
            raise UserError(
                f'config {cfg.filename}: nothing reads {name}; call it {meant} if that is meant, '
                'and otherwise by a name that is less like it'
            )


def _misspelt(name: str) -> str | None:
    """Return the entry that a variable's name is a typing error of, if it looks like one."""
    names = READ.union(MOVED)
    swapped = (known for known in names if sorted(known) == sorted(name))
    for meant in [*swapped, *get_close_matches(name, names, 1, _TYPO)]:
        longer = name.startswith(f'{meant}_') or name.endswith(f'_{meant}')  # a second one
        if not longer:
            return meant if meant in READ else f'uvpt.{meant}'
    return None


def check_options(keys: Iterable[str], before: dict, after: dict) -> None:
    """Make sure that each option changed an entry that something reads.

    Args:
        keys: dotted, as they were given.
        before: the entries of the file.
        after: those with the options.

    Raises:
        UserError: names the keys that nothing reads, and the nearest that something does.
    """
    wrong = [line for key in keys for line in _unread(key, before, after)]
    if wrong:
        raise UserError(f'--cfg-options: {"; ".join(wrong)}')


def check_types(cfg: Config) -> None:
    """Make sure that what a config describes can be built: its types are there, and take that.

    Raises:
        UserError: names the types that nothing is called by, the arguments that none of them takes,
            and what is nearest.
    """
    parts = ((name, cfg._cfg_dict[name]) for name in READ & set(cfg._cfg_dict))
    if wrong := [line for name, node in sorted(parts) for line in _unbuildable(name, node)]:
        raise UserError(
            f'config {cfg.filename}: {"; ".join(wrong)}. What is your own is known once its module '
            'stands in custom_imports'
        )


def _unbuildable(key: str, node: object) -> Iterator[str]:
    from mmseg_uvpt.engine.config.known_arguments import arguments_of, types_called

    if isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _unbuildable(f'{key}.{number}', value)
    if not isinstance(node, dict):
        return
    kind, parts = node.get('type'), key.split('.')
    if isinstance(kind, str) and '.' not in kind and parts[-1] != 'clip_grad':
        if not types_called(kind):
            yield _no_such_type(f'{key}.type', kind)
            return
        names, others = arguments_of(node, parts)
        for name in sorted(set() if others else set(node) - names):
            nearest = get_close_matches(name.lower(), names, 1, 0.6) or sorted(names)
            told = f'nearest is {nearest[0]}' if len(nearest) == 1 else ', '.join(nearest)
            yield f'{key}: {kind} takes no {name!r}; {told}'
    if kind != 'Albu':  # whose transforms are those of albumentations
        for name, value in node.items():
            yield from _unbuildable(f'{key}.{name}', value)


def _no_such_type(key: str, name: object) -> str:
    from mmseg_uvpt.engine.config.known_arguments import names_of_types

    names = {known.lower(): known for known in names_of_types()}
    nearest = [names[known] for known in get_close_matches(str(name).lower(), names, 1, 0)]
    return f'{key}={name}: nothing is called so; nearest is {nearest[0]}'


def _unread(key: str, before: dict, after: dict) -> Iterator[str]:
    from mmseg_uvpt.engine.config.known_arguments import arguments_of, types_called

    parts = key.split('.')
    old, new = before, after
    if parts[0] == 'data_preprocessor' and 'data_preprocessor' in (new.get('model') or {}):
        yield f'{key}: the model has one of its own; nearest is model.{key}'
        return
    for depth, part in enumerate(parts):
        if isinstance(new, dict):
            known, others = (READ, False) if depth == 0 else arguments_of(new, parts[:depth])
            there = set(old) if depth and isinstance(old, dict) else set()
            names = known | there
            if part not in names and not (others and not get_close_matches(part, names, 1, 0.8)):
                yield _unknown(key, depth, names, before)
                return
            old = old.get(part) if isinstance(old, dict) else None
        elif isinstance(new, list):
            part = int(part)
            old = old[part] if isinstance(old, list) and part < len(old) else None
        else:
            return
        new = new[part]
    if parts[-1] == 'type' and parts[-2:-1] != ['clip_grad'] and not types_called(new):
        yield _no_such_type(key, new)


def _unknown(key: str, depth: int, names: set[str], before: dict) -> str:
    parts = key.split('.')
    wrong = '.'.join(parts[: depth + 1])
    why = 'nothing reads it once the file is evaluated' if wrong in before else 'no such key'
    nearest = get_close_matches(parts[depth].lower(), names, 1, 0.75)
    if nearest:
        meant = '.'.join([*parts[:depth], *nearest, *parts[depth + 1 :]])
        return f'{wrong}: {why}; nearest is {meant}'
    entries = list(_leaves(before))
    last = {entry.rpartition('.')[2]: entry for entry in reversed(entries)}
    meant = [] if depth else [last[name] for name in get_close_matches(parts[-1], last, 1, 0.8)]
    meant = meant or get_close_matches(key, entries, 1, 0.5) or sorted(names)
    return f'{wrong}: {why}; nearest is {meant[0]}'


def _leaves(node: object, prefix: str = '') -> Iterator[str]:
    """Yield the dotted key of each entry that is read and holds no others."""
    if isinstance(node, dict) or (
        isinstance(node, list) and any(isinstance(n, dict) for n in node)
    ):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if prefix or key in READ - {'data_preprocessor'}:
                yield from _leaves(value, f'{prefix}.{key}' if prefix else key)
    else:
        yield prefix
