"""The networks of generalise-then-adapt, with weights from the files that others published."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from mmseg_uvpt.augmentation.adain import AdaIN
from mmseg_uvpt.augmentation.prerequisites import FILES, require_weights
from mmseg_uvpt.augmentation.style_randomisation import StyleRandomisation
from mmseg_uvpt.checkpoints.fitting import differences
from mmseg_uvpt.checkpoints.loading import state_dict_of
from mmseg_uvpt.checkpoints.reading import read_file
from mmseg_uvpt.errors import UserError

NETWORKS = {'adain': AdaIN, 'style_randomisation': StyleRandomisation}
# where a file's tensors go, under which key it nests them, and whether it may hold more of them
_PLACES = {
    'adain_encoder': ('encoder.', '', True),  # the whole VGG-19
    'adain_decoder': ('decoder.', '', False),
    'style_transfer': ('transfer.', 'state_dict_ghiasi', True),
    'style_predictor': ('predictor.', 'state_dict_stylepredictor', True),
    'style_embeddings': ('', '', True),
}
_EMBEDDINGS = {'pbn_embedding_mean': 'mean', 'pbn_embedding_covariance': 'covariance'}


def make_network(name: str, paths: dict[str, str | None], strength: float) -> nn.Module:
    """Return a network with weights from its files, in train mode (see `StylePredictor`).

    Args:
        name: of the augmentation, a key of `NETWORKS`.
        paths: of each of its `FILES`.
        strength: of the style.

    Raises:
        UserError: a file is missing or does not fit.
    """
    network = NETWORKS[name](strength)
    for part in FILES[name]:
        network.load_state_dict(fit_weights(network, part, paths[part]), strict=False)
    return network.requires_grad_(False)


def fit_weights(network: nn.Module, part: str, path: str | None) -> dict[str, Tensor]:
    """Read a file of weights and make sure that it fits its network.

    Args:
        network: the one that `FILES` names; its values are not looked at.
        part: what the file holds, a key of `AugmentingPreprocessor`'s weights.
        path: of the file.

    Returns:
        dict: names in the network to tensors of its shapes.

    Raises:
        UserError: the file is missing or does not fit.
    """
    place, key, more = _PLACES[part]
    held, state = _tensors(part, path, key), network.state_dict()
    if part == 'style_embeddings':
        names = _EMBEDDINGS
        held = {name: tensor.squeeze() for name, tensor in held.items()}
    else:
        names = {name.removeprefix(place): name for name in state if name.startswith(place)}
    expected = {name: state[own] for name, own in names.items()}
    if more:
        held = {k: v for k, v in held.items() if k in expected}
    lines = differences(expected, held)
    if lines:
        raise UserError(f'{path} does not fit as {part}: {"; ".join(lines)}')
    return {names[k]: v.reshape(expected[k].shape) for k, v in held.items()}


def _tensors(part: str, path: str | None, key: str) -> dict[str, Tensor]:
    require_weights(part, path, next(name for name in FILES if part in FILES[name]))
    contents = read_file(path)
    if isinstance(contents.get(key), Mapping):
        contents = contents[key]
    numbers = {
        k: torch.as_tensor(v) if isinstance(v, np.ndarray) and v.dtype.kind == 'f' else v
        for k, v in contents.items()
    }
    return state_dict_of(numbers, path)
