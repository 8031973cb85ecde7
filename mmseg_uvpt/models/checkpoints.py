"""Reading checkpoints: tensors only, translated, and refused where they do not fit.

Importing this module makes `load_file` the loader of local files for all of mmengine, so that
``mmseg.apis.init_model``, the runner and our scripts read files alike.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.released_names import COMPUTED, LEAVE_ONE_OUT, to_ours

# what a checkpoint of an unfinished run holds beside tensors; none of them can run code
_PLAIN_TYPES = [
    np._core.multiarray._reconstruct,
    np._core.multiarray.scalar,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in np.typecodes['All']},
]
# how torch says that a file needs an object that it does not allow
_FORBIDDEN = re.compile(r'Unsupported (global|class)|Trying to (instantiate|load|call)|blocked')


def load_file(path: str | Path, map_location: str | None = 'cpu') -> dict:
    """Read a checkpoint without running any code that it may hold.

    Args:
        path: file written by `torch.save`.
        map_location: as in `torch.load`.

    Returns:
        dict: the checkpoint's contents.

    Raises:
        UserError: the file is missing, damaged, no checkpoint, or would run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(
            f'checkpoint {path} does not exist. model/README.md lists the released files; '
            '`python pretrain.py <config>` makes a source model.'
        )
    try:
        with torch.serialization.safe_globals(_PLAIN_TYPES):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if _FORBIDDEN.search(reason):
            raise UserError(
                f'checkpoint {path} is refused: it holds more than tensors and plain values, and '
                f'opening it could run code ({_global_in(reason)}). Get it from a source that you '
                'trust and save its tensors alone: torch.save(state_dict, path).'
            ) from error
        raise UserError(_damaged(path)) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise UserError(_damaged(path)) from error
    if not isinstance(checkpoint, Mapping):
        raise UserError(f'{path} holds a {type(checkpoint).__name__}, not a checkpoint (a dict)')
    return checkpoint


def _global_in(reason: str) -> str:
    """Return the line of torch's message that names the forbidden object."""
    return next(line.strip() for line in reason.splitlines() if _FORBIDDEN.search(line))[:160]


def _damaged(path: Path) -> str:
    return (
        f'checkpoint {path} is damaged or no checkpoint: torch.load cannot read it. Get or make it '
        'anew.'
    )


CheckpointLoader.register_scheme('', load_file, force=True)


def state_dict_of(checkpoint: Mapping, path: str | Path = 'checkpoint') -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, which may nest them under ``state_dict`` or ``model``.

    Raises:
        UserError: there are no tensors.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    tensors = {k: v for k, v in checkpoint.items() if isinstance(v, Tensor)}
    if not tensors:
        raise UserError(f'{path} holds no tensors under "state_dict", under "model" or at its top')
    return tensors


def differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Say how two state dicts differ in names and shapes.

    Returns:
        list: a line for missing, unexpected and mis-shaped names, each naming at most six; empty
        if they fit. Buffers that are computed when a model is built are not missed.
    """
    missing = [k for k in expected if k not in found and not COMPUTED.match(k)]
    unexpected = [k for k in found if k not in expected]
    shaped = [
        f'{k} {_shape(found[k])} instead of {_shape(expected[k])}'
        for k in expected
        if k in found
        and found[k].numel() + expected[k].numel() > 0
        and _shape(found[k]) != _shape(expected[k])
    ]
    kinds = (('missing', missing), ('unexpected', unexpected), ('of another shape', shaped))
    return [f'{len(names)} {kind}: {_some(names)}' for kind, names in kinds if names]


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """Return a tensor's shape; counters were saved both as scalars and as one-element vectors."""
    return () if tensor.numel() == 1 else tuple(tensor.shape)


def _some(names: list[str], most: int = 6) -> str:
    rest = len(names) - most
    return ', '.join(names[:most]) + (f' and {rest} more' if rest > 0 else '')


def fit(model: nn.Module, state_dict: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Translate a state dict for a model and make sure that it fits.

    Args:
        model: a segmentor; one whose backbone has prompts is an adapted model.
        state_dict: released or own names.
        what: how to call the file in an error.

    Returns:
        dict: our names to tensors of the model's shapes.

    Raises:
        UserError: names the missing, unexpected and mis-shaped keys.
    """
    expected = model.state_dict()
    prompted = is_prompted(expected)
    leave_one_out = any(name.startswith(LEAVE_ONE_OUT) for name in expected)
    ours = to_ours(dict(state_dict), prompted, leave_one_out)
    if leave_one_out and not any(name.startswith(LEAVE_ONE_OUT) for name in ours):
        raise UserError(
            f'{what} holds no leave-one-out heads ({LEAVE_ONE_OUT}0 to 5), and the config '
            'describes generalise-then-adapt (type SourceGtA). Use a config of standard single '
            'source, configs/pretrain/sss_*.py, or one of adaptation.'
        )
    if prompted and not is_prompted(ours):
        raise UserError(
            f'{what} is a source model: it holds no prompts, and the config describes an adapted '
            'model. Test it with the config of its pretraining (configs/pretrain/), or adapt it: '
            'python train.py <config> --source-checkpoint <file>.'
        )
    if not prompted and is_prompted(to_ours(dict(state_dict), True)):
        raise UserError(
            f'{what} is an adapted model: it holds prompts, and the config describes a source '
            'model. Use the config of its adaptation (configs/uni_uvpt/).'
        )
    return _checked(expected, ours, what)


def _checked(
    expected: Mapping[str, Tensor], ours: dict[str, Tensor], what: str
) -> dict[str, Tensor]:
    classifier = 'decode_head.conv_seg.weight'
    if classifier in expected and classifier in ours:
        wanted, held = len(expected[classifier]), len(ours[classifier])
        if wanted != held:
            raise UserError(
                f'{what} has a head of {held} classes, the config one of {wanted} '
                '(model.decode_head.num_classes)'
            )
    lines = differences(expected, ours)
    if lines:
        raise UserError(f'{what} does not fit the model. ' + '; '.join(lines))
    return {name: tensor.reshape(expected[name].shape) for name, tensor in ours.items()}


def is_prompted(state_dict: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict in our names is that of an adapted model."""
    return any(
        name.startswith(('backbone.adapters.', 'backbone.generator.')) for name in state_dict
    )


def load_source_model(model: nn.Module, path: str | Path) -> None:
    """Fill the staged backbone and the head of an adapted model with a source model's weights.

    Raises:
        UserError: the file does not fit, or is that of an adapted model.
    """
    checkpoint = load_file(path)
    ours = to_ours(state_dict_of(checkpoint, path), prompted=True)
    if is_prompted(ours):
        raise UserError(f'{path} is an adapted model already: a source model has no prompts')
    expected = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name.startswith(('backbone.staged.', 'decode_head.'))
    }
    model.load_state_dict(
        {**model.state_dict(), **_checked(expected, ours, f'source model {path}')}
    )
    MMLogger.get_current_instance().info(f'source model: {path}')


def load_imagenet_weights(backbone: nn.Module, path: str | Path) -> None:
    """Fill a staged backbone with an ImageNet classifier's weights.

    The file may name its tensors with or without ``backbone.``; it may lack the norms that only
    a segmentation model has, and may hold the classifier.

    Raises:
        UserError: the file does not fit.
    """
    tensors = {
        name.removeprefix('module.').removeprefix('backbone.'): tensor
        for name, tensor in state_dict_of(load_file(path), path).items()
    }
    expected = backbone.state_dict()
    held = {
        name: tensor
        for name, tensor in tensors.items()
        if name in expected
        or not (name.startswith(backbone.classifier_parts) or name.endswith('.attn_mask'))
    }
    required = {
        name: tensor
        for name, tensor in expected.items()
        if name in held or not name.startswith(backbone.output_norms or ('\0',))
    }
    backbone.load_state_dict({**expected, **_checked(required, held, f'ImageNet file {path}')})
    MMLogger.get_current_instance().info(f'ImageNet weights: {path}')


class CheckedLoading:
    """Mixin for segmentors: whatever loads a state dict into them translates and checks it.

    It works below `torch.nn.Module.load_state_dict` and below mmengine's loader, so
    ``mmseg.apis.init_model`` and the runner cannot load half a file in silence.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._register_load_state_dict_pre_hook(self._translate)

    def _translate(self, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
        """Replace the entries below ``prefix`` by their translation, in place."""
        own = {k[len(prefix) :]: v for k, v in state_dict.items() if k.startswith(prefix)}
        fitting = fit(self, own, 'the checkpoint')
        for name in own:
            del state_dict[prefix + name]
        state_dict.update({prefix + name: tensor for name, tensor in fitting.items()})
