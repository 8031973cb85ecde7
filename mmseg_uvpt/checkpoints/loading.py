"""Reading checkpoints: tensors only, translated, and refused where they do not fit.

Importing this module makes `load_file` the loader of local files for all of mmengine, so that
``mmseg.apis.init_model``, the runner and our scripts read files alike.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmseg_uvpt.checkpoints.fitting import checked, fit, refuse_added, some_of
from mmseg_uvpt.checkpoints.hub import local_file
from mmseg_uvpt.checkpoints.names import LEAVE_ONE_OUT, is_adapted, to_ours
from mmseg_uvpt.checkpoints.reading import read_file
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.models.decode_heads.leave_one_out import LEFT_OUT
from mmseg_uvpt.models.segmentors.source import Segmentor

# where a file without its backbone says which one it belongs to
SPLIT = 'split'


def load_file(path: str | Path, map_location: str | None = 'cpu') -> dict:
    """Read a whole checkpoint without running any code that it may hold.

    Args:
        path: a ``.pth`` or a ``.safetensors`` file (`reading.read_file`).
        map_location: as in `torch.load`.

    Returns:
        dict: the checkpoint's contents; its tensors are under ``state_dict``, wherever the file
        has them, and there is a ``meta``.

    Raises:
        UserError: the file is missing, damaged, no checkpoint, would run code, or holds only
            what `export.split` leaves of an adapted model.
    """
    checkpoint = read_file(path, map_location)
    if is_split(checkpoint):
        source = checkpoint[SPLIT].get('source')
        raise UserError(
            f'{path} holds the prompts and the head of an adapted model, without its backbone. '
            f'Put it together with its source model, {source}: '
            f'python tools/export_checkpoint.py join {path} <{source}> <whole file>'
        )
    if not isinstance(checkpoint.get('meta'), Mapping):  # mmseg's `init_model` looks into it
        checkpoint = {**checkpoint, 'meta': {}}
    if 'state_dict' not in checkpoint:  # mmengine looks nowhere else
        within = checkpoint.get('model')
        tensors = within if isinstance(within, Mapping) else _tensors(checkpoint)
        if tensors:
            others = {key: value for key, value in checkpoint.items() if key not in tensors}
            checkpoint = {**others, 'state_dict': tensors}
    return checkpoint


def is_split(checkpoint: Mapping) -> bool:
    """Tell whether a checkpoint is what `export.split` leaves of an adapted model."""
    return isinstance(checkpoint.get(SPLIT), Mapping)


# mmseg's `init_model` reads files by what is registered so, and by nothing else
CheckpointLoader.register_scheme('', load_file, force=True)


def state_dict_of(checkpoint: Mapping, path: str | Path = 'checkpoint') -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, which may nest them under ``state_dict`` or ``model``.

    Raises:
        UserError: there are no tensors; or some have no name, or no values of the plain kind.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    tensors = _tensors(checkpoint)
    if not tensors:
        raise UserError(f'{path} holds no tensors under "state_dict", under "model" or at its top')
    odd = [k for k, v in tensors.items() if not isinstance(k, str) or not _is_plain(v)]
    if odd:
        raise UserError(
            f'{path} holds tensors that no model of this project has (sparse, quantised, without '
            f'values, or not named by a text): {some_of([str(name) for name in odd])}'
        )
    return tensors


def _tensors(values: Mapping) -> dict:
    return {key: value for key, value in values.items() if isinstance(value, Tensor)}


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (
        tensor.is_meta or tensor.is_quantized or tensor.is_nested
    )


def load_source_model(model: nn.Module, path: str | Path) -> None:
    """Fill the staged backbone and the head of an adapted model with a source model's weights.

    An adapted model whose tuner added no tensor (statistics, head, norms, ...) is one as well; what
    its method has beside the network, as scale weights, is left out.

    Raises:
        UserError: the file does not fit, or is that of an adapted model with prompts or the like.
    """
    tensors = state_dict_of(load_file(path), path)
    ours = to_ours(tensors, prompted=True)
    network = ('backbone.staged.', 'neck.', 'decode_head.')
    if is_adapted(tensors):
        refuse_added(tensors, path)
        ours = {name: tensor for name, tensor in ours.items() if name.startswith(network)}
    expected = {n: tensor for n, tensor in model.state_dict().items() if n.startswith(network)}
    model.load_state_dict({**model.state_dict(), **checked(expected, ours, f'source model {path}')})
    MMLogger.get_current_instance().info(f'source model: {path}')


def load_imagenet_weights(backbone: nn.Module, weights: str | Path) -> None:
    """Fill a staged backbone with a classifier's weights, mostly of ImageNet.

    Args:
        backbone: a `StagedBackbone`.
        weights: a file, or a name on the hub.

    Raises:
        UserError: the file does not fit, or cannot be had (`hub.local_file`).
    """
    path = local_file(weights)
    backbone.load_state_dict({**backbone.state_dict(), **fit_imagenet_weights(backbone, path)})
    MMLogger.get_current_instance().info(f'ImageNet weights: {path}')


def fit_imagenet_weights(backbone: nn.Module, path: str | Path) -> dict[str, Tensor]:
    """Read an ImageNet classifier and make sure that it fits a staged backbone.

    The file may name its tensors with or without ``backbone.``; it may lack the norms that only
    a segmentation model has, and may hold the classifier.

    Returns:
        dict: the backbone's names to the file's tensors.

    Raises:
        UserError: the file does not fit.
    """
    named = {
        name.removeprefix('module.').removeprefix('backbone.'): tensor
        for name, tensor in state_dict_of(load_file(path), path).items()
    }
    what = f'ImageNet file {path}'
    try:
        tensors = backbone.from_file(named)
    except ValueError as error:
        raise UserError(f'{what} does not fit the model: {error}') from error
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
    return checked(required, held, what)


def load_initial_weights(model: nn.Module, imagenet: bool = True) -> None:
    """Load what a training of a segmentor begins with, after it was initialised at random.

    That is the ImageNet file that the staged backbone's ``init_cfg`` names, and the source model
    that an adapted segmentor's ``source_checkpoint`` names.

    Args:
        model: a segmentor.
        imagenet: whether the first is loaded; a run that goes on has no use for it.

    Raises:
        UserError: a file is missing or does not fit.
    """
    for module in model.modules():
        if imagenet and isinstance(module, StagedBackbone) and module.init_cfg:
            load_imagenet_weights(module, module.init_cfg['checkpoint'])
    if source := getattr(model, 'source_checkpoint', None):
        load_source_model(model, source)


def _translate(model: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
    """Translate and check what is about to be loaded into a segmentor, in place.

    It works below `torch.nn.Module.load_state_dict` and below mmengine's loader, so
    ``mmseg.apis.init_model`` and the runner cannot load half a file in silence. Where a file's two
    global heads of generalise-then-adapt differ, ``decode_head`` counts.
    """
    own = {k[len(prefix) :]: v for k, v in state_dict.items() if k.startswith(prefix)}
    fitting = fit(model, own, 'the checkpoint')
    alias = f'{LEAVE_ONE_OUT}{len(LEFT_OUT)}.'
    for name in fitting:
        if name.startswith(alias):
            fitting[name] = fitting[f'decode_head.{name.removeprefix(alias)}']
    for name in own:
        del state_dict[prefix + name]
    state_dict.update({prefix + name: tensor for name, tensor in fitting.items()})


Segmentor.before_loading = (_translate,)
