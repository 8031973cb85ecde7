"""Which model a checkpoint holds, and what it was adapted from: hashes of weights."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.checkpoints.names import COMPUTED, to_ours
from mmseg_uvpt.errors import UserError

ADAPTED_FROM = 'adapted_from'  # see `ancestors`


def ancestors(loaded: Mapping) -> list[str]:
    """Return the hashes of the weights that a model was adapted from, as its checkpoint says.

    Its source model's is the first; one that was adapted itself is followed by its own. Empty for
    a model that was not adapted, or by version 0.1.
    """
    found = (loaded.get('meta') or {}).get(ADAPTED_FROM)
    return [*map(str, found)] if isinstance(found, list | tuple) else []


def contents_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        digest.update(bytes_of(tensor).numpy())
    return digest.hexdigest()


def bytes_of(tensor: Tensor) -> Tensor:
    """Return a tensor's bytes: equal where numbers are not, as NaN, or the other way, as -0.0."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def weights_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of what a model predicts with.

    It is the same for all files of the same weights: under released or our names, in any format,
    with or without the state of their training.
    """
    ours = to_ours(dict(tensors), prompted=True)
    return contents_sha256({n: t for n, t in ours.items() if not COMPUTED.match(n)})


def weights_of(checkpoint: str | Path) -> str:
    """Return the `weights_sha256` of a checkpoint.

    Raises:
        UserError: it cannot be read.
    """
    return weights_sha256(state_dict_of(load_file(checkpoint), checkpoint))


def require_descent(loaded: Mapping, adapted: str | Path, source: str | Path) -> None:
    """Make sure that a model was adapted from another, as far as its checkpoint says from which.

    Args:
        loaded: contents of the adapted model's checkpoint.
        adapted: its path.
        source: the other's, which is read where there is something to compare.

    Raises:
        UserError: it was adapted from others; or the source model cannot be read.
    """
    known = ancestors(loaded)
    if known and weights_of(source) not in known:
        raise UserError(
            f'{adapted} was not adapted from {source}, whose weights are others: name its source '
            'model, --source-checkpoint of its training'
        )
