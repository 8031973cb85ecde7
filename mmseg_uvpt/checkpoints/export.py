"""Smaller files of a checkpoint: without what only its training needs, or without its source model.

An adapted model whose backbone stayed frozen holds its source model's backbone bit for bit, so a
file of the rest and the source model give it back: `split` and `join`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmseg_uvpt.checkpoints.fitting import differences
from mmseg_uvpt.checkpoints.hashes import ADAPTED_FROM, bytes_of, contents_sha256
from mmseg_uvpt.checkpoints.loading import SPLIT, is_split, load_file, state_dict_of
from mmseg_uvpt.checkpoints.names import COMPUTED, added_names, is_adapted, names_in_source
from mmseg_uvpt.checkpoints.reading import read_file
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.nested import dict_or_empty

# what says which model this is; the rest (environment, hooks' messages) is its training's affair
_META = (
    *('CLASSES', 'PALETTE', 'dataset_meta', 'config', 'cfg', 'experiment_name', 'exp_name'),
    *('epoch', 'iter', 'seed', 'time', 'mmengine_version', 'mmseg_version', 'mmcv_version'),
    ADAPTED_FROM,
)


def strip(path: str | Path) -> dict:
    """Read what of a checkpoint is needed to use the model.

    Returns:
        dict: ``meta``, plain values as JSON holds them, and ``state_dict``, tensors in the order
        and under the names of the file.

    Raises:
        UserError: the file cannot be read as a checkpoint.
    """
    checkpoint = load_file(path)
    meta = dict_or_empty(checkpoint.get('meta'))
    return {
        'meta': {key: _plain(meta[key]) for key in _META if key in meta},
        'state_dict': state_dict_of(checkpoint, path),
    }


def _plain(value: object) -> object:
    """Return a value as JSON would give it back; None for what JSON cannot hold."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) else None


def split(adapted_path: str | Path, source_path: str | Path) -> dict:
    """Take the source model's backbone out of an adapted model.

    Args:
        adapted_path: adapted model, under released or our names.
        source_path: the source model that it was adapted from, likewise.

    Returns:
        dict: ``meta`` and ``state_dict`` as `strip` gives them, the latter without the tensors that
        are the source model's to the bit; and ``split``: the source file's name (``source``), how
        many tensors are left to it (``taken``), their hash (``taken_sha256``) and all names of the
        adapted model in their order (``names``).

    Raises:
        UserError: a file cannot be read or is not of that kind; or a weight of the backbone is
            another than the source model's.
    """
    adapted = strip(adapted_path)
    tensors = adapted['state_dict']
    if not is_adapted(tensors):
        raise UserError(f'{adapted_path} is a source model: it holds no prompts to split off')
    source, of_source = _source_model(source_path), _of_source(tensors)
    expected = _backbone(source)
    found = {part: tensors[name] for name, part in of_source.items() if part in expected}
    kinds = {(expected[part].dtype, tensor.dtype) for part, tensor in found.items()}
    if not differences(expected, found) and (other := {a for a, b in kinds if a != b}):
        raise UserError(
            f'{source_path} holds {min(map(str, other))} numbers, and {adapted_path} others, of '
            'which none could be left to it: for a file that stands alone: '
            f'python tools/export_checkpoint.py strip {adapted_path} <file>'
        )
    wrong = differences(expected, found) or [
        f'{name} differs'
        for name, tensor in expected.items()
        if tensor.ndim > 1 and not _same(tensor, found[name])  # norms and biases may be tuned
    ]
    if wrong:
        more = f' (and {len(wrong) - 1} more)' if len(wrong) > 1 else ''
        raise UserError(
            f'the backbone of {adapted_path} is not that of {source_path}: {wrong[0]}{more}. It '
            "was adapted from another source model, or tuned as a whole (All, tune='all'). For a "
            f'file that stands alone: python tools/export_checkpoint.py strip {adapted_path} <file>'
        )
    taken = {n: p for n, p in of_source.items() if p in source and _same(source[p], tensors[n])}
    return {
        'meta': adapted['meta'],
        SPLIT: {
            'source': Path(source_path).name,
            'taken': len(taken),
            'taken_sha256': _taken_sha256(source, taken.values()),
            'names': list(tensors),
        },
        'state_dict': {name: tensor for name, tensor in tensors.items() if name not in taken},
    }


def join(small_path: str | Path, source_path: str | Path) -> dict:
    """Put an adapted model together again.

    Args:
        small_path: what `split` gave.
        source_path: the source model that it names; any file with the tensors that were taken.

    Returns:
        dict: what `strip` gives for the adapted model that was split, bit for bit.

    Raises:
        UserError: a file cannot be read or is not of that kind; or the source model is another.
    """
    small = read_file(small_path)
    if not is_split(small):
        raise UserError(
            f'{small_path} is a whole checkpoint: there is nothing to join. `join` takes what '
            '`python tools/export_checkpoint.py split` wrote.'
        )
    noted, held = small[SPLIT], state_dict_of(small, small_path)
    source = _source_model(source_path)
    try:
        names = list(noted['names'])
        of_source = _of_source(names)
        taken = [of_source[name] for name in names if name not in held]
        # version 0.1 took the backbone as a whole
        count = noted.get('taken', len(_backbone(source)))
        if None in taken or (len(taken), len(names)) != (count, count + len(held)):
            raise ValueError('not all tensors are named')
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{small_path} is damaged: its list of names does not fit its tensors. Split the '
            'adapted model anew.'
        ) from error
    found = _taken_sha256(source, taken) if source.keys() >= set(taken) else 'of other tensors'
    expected = noted.get('taken_sha256', noted.get('backbone_sha256'))
    if found != expected:
        raise UserError(
            f'{source_path} is not the source model that {small_path} belongs to, '
            f'{noted.get("source")}: the SHA-256 of its tensors is {found}, not {expected}'
        )
    tensors = {name: held[name] if name in held else source[of_source[name]] for name in names}
    return {'meta': small['meta'], 'state_dict': tensors}


def _of_source(names: Iterable[str]) -> dict[str, str | None]:
    """Return what the source model calls the tensors of a model; None for what it has not.

    Buffers that are computed stay with the prompts: a source file may lack them.
    """
    found = names_in_source(names)
    return {name: None if COMPUTED.match(name) else part for name, part in found.items()}


def _backbone(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in source.items() if name.startswith('backbone.')}


def _source_model(path: str | Path) -> dict[str, Tensor]:
    tensors = state_dict_of(load_file(path), path)
    if added_names(tensors):
        raise UserError(f'{path} is an adapted model: name the source model it was adapted from')
    parts = _of_source(tensors)
    source = {parts[name]: tensor for name, tensor in tensors.items() if parts[name] is not None}
    if not _backbone(source):
        raise UserError(f'{path} is no source model: it holds no tensor named backbone.*')
    return source


def _taken_sha256(source: Mapping[str, Tensor], names: Iterable[str]) -> str:
    return contents_sha256({name.removeprefix('backbone.'): source[name] for name in names})


def _same(first: Tensor, second: Tensor) -> bool:
    alike = first.dtype == second.dtype and first.shape == second.shape
    return alike and torch.equal(bytes_of(first), bytes_of(second))
