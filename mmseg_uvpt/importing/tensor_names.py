"""Tensors under other names, joined or in another order; configs that are others than read."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor


def renamed(tensors: Mapping[str, Tensor], parts: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """Replace parts of names, one after the other: (found, put in its place)."""
    found = {}
    for name, tensor in tensors.items():
        for old, new in parts:
            name = name.replace(old, new)
        found[name] = tensor
    return found


def joined(tensors: Mapping[str, Tensor], parts: tuple[str, ...], whole: str) -> dict[str, Tensor]:
    """Join tensors (n, ...) whose names differ in a part alone, as (n * parts, ...).

    What lacks one of the parts stays as it is.
    """
    found = dict(tensors)
    for name in tensors:
        names = [name.replace(parts[0], part) for part in parts]
        if parts[0] in name and all(each in tensors for each in names):
            found[name.replace(parts[0], whole)] = torch.cat([found.pop(each) for each in names])
    return found


def without(tensors: Mapping[str, Tensor], *beginnings: str) -> dict[str, Tensor]:
    """Leave out tensors whose names begin in some way."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(beginnings)}


def differences(config: Mapping, wanted: Mapping) -> Iterator[tuple[str, object, object]]:
    """Yield key, value and wanted value of entries that differ; what a config omits is right."""
    for key, value in wanted.items():
        found = config.get(key, value)
        found = tuple(found) if isinstance(found, list) else found
        if found != value:
            yield key, found, value
