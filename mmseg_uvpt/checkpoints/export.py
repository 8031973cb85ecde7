"""Smaller files of a checkpoint: without what only its training needs, or without its source model.

An adapted model whose backbone stayed frozen holds its source model's backbone bit for bit, so a
file of the rest and the source model give it back: `split` and `join`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmseg_uvpt.checkpoints.loading import (
    SPLIT,
    differences,
    is_prompted,
    is_split,
    load_file,
    state_dict_of,
)
from mmseg_uvpt.checkpoints.names import COMPUTED, name_in_staged_backbone, to_ours
from mmseg_uvpt.checkpoints.reading import SUFFIXES, read_file
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import refuse_to_replace

# what says which model this is; the rest (environment, hooks' messages) is its training's affair
_META = (
    *('CLASSES', 'PALETTE', 'dataset_meta', 'config', 'cfg', 'experiment_name', 'exp_name'),
    *('epoch', 'iter', 'seed', 'time', 'mmengine_version', 'mmseg_version', 'mmcv_version'),
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
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
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
        dict: ``meta`` and ``state_dict`` as `strip` gives them, the latter without the backbone's
        parameters; and ``split``: the source file's name (``source``), the hash of its backbone
        (``backbone_sha256``) and all names of the adapted model in their order (``names``).

    Raises:
        UserError: a file cannot be read or is not of that kind; or the backbones differ in a bit.
    """
    adapted = strip(adapted_path)
    tensors = adapted['state_dict']
    if not is_prompted(to_ours(tensors, prompted=True)):
        raise UserError(f'{adapted_path} is a source model: it holds no prompts to split off')
    expected, found = _source_backbone(source_path), _backbone(tensors)
    wrong = differences(expected, found) or [
        f'{name} differs' for name in expected if not _same(expected[name], found[name])
    ]
    if wrong:
        more = f' (and {len(wrong) - 1} more)' if len(wrong) > 1 else ''
        raise UserError(
            f'the backbone of {adapted_path} is not that of {source_path}: {wrong[0]}{more}. It '
            "was adapted from another source model, or tuned as a whole (tune='all'). For a file "
            f'that stands alone: python tools/export_checkpoint.py strip {adapted_path} <file>'
        )
    return {
        'meta': adapted['meta'],
        SPLIT: {
            'source': Path(source_path).name,
            'backbone_sha256': contents_sha256(expected),
            'names': list(tensors),
        },
        'state_dict': {k: v for k, v in tensors.items() if _of_source(k) is None},
    }


def join(small_path: str | Path, source_path: str | Path) -> dict:
    """Put an adapted model together again.

    Args:
        small_path: what `split` gave.
        source_path: the source model that it names; any file with the same backbone.

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
    backbone = _source_backbone(source_path)
    found = contents_sha256(backbone)
    if found != noted.get('backbone_sha256'):
        raise UserError(
            f'{source_path} is not the source model that {small_path} belongs to, '
            f'{noted.get("source")}: the SHA-256 of its backbone is {found}, not '
            f'{noted.get("backbone_sha256")}'
        )
    try:
        parts = {name: _of_source(name) for name in noted['names']}
        tensors = {n: held[n] if part is None else backbone[part] for n, part in parts.items()}
        if len(tensors) != len(held) + len(backbone):
            raise ValueError('not all tensors are named')
        return {'meta': small['meta'], 'state_dict': tensors}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'{small_path} is damaged: its list of names does not fit its tensors. Split the '
            'adapted model anew.'
        ) from error


def contents_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(_bytes(tensor).numpy())
    return digest.hexdigest()


def check_output(path: Path, inputs: list[Path], force: bool) -> None:
    """Make sure that a file may be written, before time is spent on its contents.

    Raises:
        UserError: its suffix is unknown, it is a folder or one of the inputs, or it exists and
            ``force`` is off.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(
            f'{path}: the name of the file to write must end in {" or ".join(SUFFIXES)}'
        )
    refuse_to_replace(path, inputs, force)


def _of_source(name: str) -> str | None:
    """Return the name within the backbone of what is taken from the source model, else None.

    Buffers that are computed stay with the prompts: a source file may lack them.
    """
    return None if COMPUTED.match(name) else name_in_staged_backbone(name)


def _backbone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {_of_source(name): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in named.items() if name is not None}


def _source_backbone(path: str | Path) -> dict[str, Tensor]:
    tensors = state_dict_of(load_file(path), path)
    if is_prompted(to_ours(tensors, prompted=True)):
        raise UserError(f'{path} is an adapted model: name the source model it was adapted from')
    backbone = _backbone(tensors)
    if not backbone:
        raise UserError(f'{path} is no source model: it holds no tensor named backbone.*')
    return backbone


def _same(first: Tensor, second: Tensor) -> bool:
    alike = first.dtype == second.dtype and first.shape == second.shape
    return alike and torch.equal(_bytes(first), _bytes(second))


def _bytes(tensor: Tensor) -> Tensor:
    """Return a tensor's bytes: equal where numbers are not, as NaN, or the other way, as -0.0."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)
