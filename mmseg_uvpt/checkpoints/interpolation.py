"""Weights between a source model and what was adapted from it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmseg_uvpt.checkpoints.export import strip
from mmseg_uvpt.checkpoints.fitting import fit
from mmseg_uvpt.checkpoints.hashes import require_descent
from mmseg_uvpt.checkpoints.loading import load_source_model
from mmseg_uvpt.checkpoints.names import is_adapted, is_added
from mmseg_uvpt.errors import UserError


def interpolate(
    models: tuple[nn.Module, nn.Module], source: str | Path, adapted: str | Path, alpha: float
) -> dict:
    """Return the checkpoint (1 - alpha) source + alpha adapted, tensor by tensor.

    WiSE-FT (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). What the tuner
    adds begins at its initial value where that is a constant, as the zeros of LoRA's B or the
    ``gamma`` of prompts, and stays as adapted where it is random; so do integers.

    Args:
        models: the adapted segmentor, built twice: what is random differs between them.
        source: file of the source model.
        adapted: file of the model that was adapted from it, with the tuner of ``models``.
        alpha: 0..1; 0 gives the source model's tensors to the bit, 1 the adapted one's.

    Returns:
        dict: ``meta`` and ``state_dict`` as `export.strip` gives them for the adapted model, by our
        names; in ``meta`` stands ``interpolation``.

    Raises:
        UserError: a file cannot be read or does not fit the model; or a weight that the tuner
            leaves frozen differs, or the one was not adapted from the other.
    """
    model = models[0]
    checkpoint = strip(adapted)
    if not is_adapted(checkpoint['state_dict']):
        raise UserError(f'{adapted} is a source model: name a model that was adapted from {source}')
    require_descent(checkpoint, adapted, source)
    end = fit(model, checkpoint['state_dict'], f'adapted model {adapted}')
    load_source_model(model, source)
    start, again = (each.state_dict() for each in models)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    for name in sorted(frozen & end.keys()):
        if name.startswith('backbone.staged.') and not torch.equal(start[name], end[name]):
            raise UserError(
                f'{adapted} was not adapted from {source} with the tuner of the config: {name} is '
                'another. Name its source model, and its tuner: --cfg-options model.tuner.type=NAME'
            )
    tensors = {name: _between(name, tensor, start, again, alpha) for name, tensor in end.items()}
    about = {'source': Path(source).name, 'adapted': Path(adapted).name, 'alpha': alpha}
    return {'meta': {**checkpoint['meta'], 'interpolation': about}, 'state_dict': tensors}


def _between(
    name: str, end: Tensor, start: Mapping[str, Tensor], again: Mapping[str, Tensor], alpha: float
) -> Tensor:
    is_random = is_added(name) and not torch.equal(start[name], again[name])
    if is_random or not end.is_floating_point():
        return end
    return torch.lerp(start[name].to(end), end, alpha)
