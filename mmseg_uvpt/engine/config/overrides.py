"""What ``--cfg-options`` puts into a config."""

import ast
from collections.abc import Iterable
from functools import reduce

from mmengine.config import Config, DictAction
from mmengine.config.config import DELETE_KEY

from mmseg_uvpt.errors import UserError

# whose arguments are those of its type: another type takes none of them over
_TYPE_OF_ITS_OWN = ('model.tuner',)


def merge_options(cfg: Config, options: Iterable[str]) -> dict[str, object]:
    """Put ``key=value`` texts into a config, in place.

    As mmengine's own tools do, but that entries can also be named below one that is None, and parts
    of a list by their types.

    Args:
        cfg: to be changed.
        options: keys are dotted; numbers or types choose from lists.

    Returns:
        dict: the keys, with numbers, to the values.

    Raises:
        UserError: an option cannot be read, or does not fit what it is to change.
    """
    values, changes = {}, {}
    for option in options:
        key, _, text = option.partition('=')
        value = _parsed(option, text)
        key = _by_numbers(cfg, key)
        values[key] = value
        changes |= _change(cfg, key, value)
    in_lists = {key: changes.pop(key) for key in values if isinstance(_parent(cfg, key), list)}
    try:
        cfg.merge_from_dict(changes)
    except (TypeError, KeyError, AttributeError) as error:  # two of them exclude each other
        raise UserError(f'--cfg-options {" ".join(options)}: {error}') from error
    for key, value in in_lists.items():  # which mmengine does for dicts only
        put(cfg, key, value)
    return values


def _parent(cfg: Config, key: str) -> object:
    """Return what holds the entry of a key; None if that is not there."""
    return reduce(_entry, key.split('.')[:-1], cfg._cfg_dict)


def _entry(node: object, part: str) -> object:
    try:
        return node[int(part) if isinstance(node, list) else part]
    except (KeyError, IndexError, TypeError):
        return None


def put(cfg: Config, key: str, value: object) -> None:
    """Set an entry; lists that it lies in are replaced, since others may hold them as well."""
    above, _, last = key.rpartition('.')
    node = _parent(cfg, key)
    if isinstance(node, list):
        put(cfg, above, [*node[: int(last)], value, *node[int(last) + 1 :]])
    else:
        cfg.merge_from_dict({key: value})


def option_of(key: str, text: str) -> str:
    """Return the ``key=value`` that sets an entry to a text, whatever signs that has."""
    plain = f'{key}={text}'
    try:
        is_read_as_it_is = _parsed(plain, text) == text
    except UserError:
        is_read_as_it_is = False
    return plain if is_read_as_it_is else f'{key}={text!r}'


def _parsed(option: str, text: str) -> object:
    """Return the value of an option, as mmengine's own tools read it, but for two kinds of text.

    What stands in quotation marks is that text, and spaces outside of lists stay: mmengine drops
    both, and splits at commas.
    """
    if text[:1] in ('"', "'"):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = None  # quotation marks that are part of what is meant
        if isinstance(value, str):
            return value
    opened = []
    for sign in text:
        if sign in '([':
            opened.append(sign)
        elif sign in ')]' and (not opened or opened.pop() + sign not in ('()', '[]')):
            opened = ['']
            break
    if opened:
        raise UserError(f'--cfg-options {option}: its brackets do not match')
    try:
        value = DictAction._parse_iterable(text)
        return text if isinstance(value, str) and ' ' in text.strip() else value
    except RecursionError as error:
        raise UserError(
            f'--cfg-options {option}: a dict is given entry by entry, as in '
            f'{option.partition("=")[0]}.type=NAME; a list of dicts stands in a config file'
        ) from error


def _by_numbers(cfg: Config, key: str) -> str:
    """Return a key with the numbers of parts of lists in the place of their types."""
    parts, node = key.split('.'), cfg._cfg_dict
    for depth, part in enumerate(parts):
        if isinstance(node, list) and not part.isdecimal():
            types = [step.get('type') if isinstance(step, dict) else None for step in node]
            if types.count(part) != 1:
                names = ', '.join(f'{i} {name}' for i, name in enumerate(types))
                raise UserError(
                    f'--cfg-options {key}: {".".join(parts[:depth])} has {types.count(part)} parts '
                    f'of type {part}; its parts are {names}'
                )
            parts[depth] = part = str(types.index(part))
        node = _entry(node, part)  # None of nothing that exists; `_change` says what is wrong
    return '.'.join(parts)


def _change(cfg: Config, key: str, value: object) -> dict[str, object]:
    """Return what has to be merged for an option, and make sure that it fits."""
    parts = key.split('.')
    if not all(parts):
        raise UserError(f'--cfg-options {key}: names between dots are missing')
    changes, node = {key: value}, cfg._cfg_dict
    for depth, part in enumerate(parts):
        name = '.'.join(parts[:depth])
        if node is None:
            changes[f'{name}.{DELETE_KEY}'] = True  # mmengine's way to put a dict there
            return changes
        if isinstance(node, list):
            if int(part) >= len(node):
                raise UserError(f'--cfg-options {key}: {name} has {len(node)} parts, from 0 on')
            node = node[int(part)]
        elif isinstance(node, dict):
            if part not in node:
                return changes
            node = node[part]
        else:
            cure = f'give all of it, {name}=...' if isinstance(node, tuple) else 'give that another'
            raise UserError(
                f'--cfg-options {key}: {name} is {node!r}, which has no entries; {cure}'
            )
    _check_kind(key, node, value)
    above, _, last = key.rpartition('.')
    if above in _TYPE_OF_ITS_OWN and last == 'type' and node != value:
        changes[f'{above}.{DELETE_KEY}'] = True
    return changes


def _check_kind(key: str, old: object, value: object) -> None:
    """Make sure that no single value takes the place of entries."""
    if value is None:
        return
    if isinstance(old, dict) and old:
        raise UserError(
            f'--cfg-options {key}={value}: {key} has entries of its own, {key}.{next(iter(old))} '
            'for example; name the one that is meant'
        )
    parts = isinstance(old, list) and any(isinstance(part, dict) for part in old)
    if parts and not isinstance(value, list | tuple):
        raise UserError(
            f'--cfg-options {key}={value}: {key} is a list of parts, {key}.0 the first; name '
            'the one that is meant'
        )


def leave_out(cfg: Config, keys: Iterable[str]) -> None:
    """Drop parts of pipelines, of the schedule and of other lists that options set to None."""
    for key in keys:
        node = _parent(cfg, key)
        if isinstance(node, list) and None in node and any(isinstance(n, dict) for n in node):
            put(cfg, key.rpartition('.')[0], [part for part in node if part is not None])
