"""The model that predicts: built, loaded and accelerated."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.acceleration.accelerate import accelerate_as_config_says
from mmseg_uvpt.checkpoints.fitting import fit
from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.checkpoints.names import is_adapted
from mmseg_uvpt.engine.config.classes import classes_in, require_equal, require_same
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.hooks.class_counts import of_model
from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor
from mmseg_uvpt.ops.backends import check_forced
from mmseg_uvpt.registry import is_a

_SHARED = ('data_preprocessor', 'backbone', 'neck', 'decode_head', 'train_cfg', 'test_cfg')


def source_model(cfg: Config, checkpoint: str) -> nn.Module:
    """Build the segmentor and load the checkpoint, in eval mode and in main memory.

    The config of an adaptation describes the adapted model; if the checkpoint has no prompts, the
    source model within it is built instead.

    Raises:
        UserError: the checkpoint does not fit.
    """
    return _build(cfg, load_file(checkpoint), checkpoint)


def source_within(described: Mapping) -> dict:
    """Return the config of the source model that an adapted one's config begins with."""
    shared = {key: described[key] for key in _SHARED if key in described}
    return {**shared, 'type': 'SourceSegmentor'}


def accelerated_model(
    cfg: Config, checkpoint: str, classes: Sequence[str], loader: str, device: str | None = None
) -> nn.Module:
    """Build a checkpoint's model on its device, as ``cfg.uvpt`` says how it is accelerated.

    Args:
        cfg: as of `source_model`.
        checkpoint: its path.
        classes: of the images that are to be predicted.
        loader: the config's entry that has these classes.
        device: None for a GPU if there is one.

    Raises:
        UserError: the checkpoint does not fit, or is of other classes.
    """
    data_set = f'{loader}.dataset.metainfo.classes'
    loaded = load_file(checkpoint)
    require_same({data_set: classes, f'checkpoint {checkpoint}': classes_in(loaded)})
    model = _build(cfg, loaded, checkpoint)
    try:
        model = model.to(device or get_device())
    except (RuntimeError, AssertionError) as error:
        if device is None or isinstance(error, torch.OutOfMemoryError):
            raise
        raise UserError(f'device {device!r} cannot be used: {first_line(error)}') from error
    del loaded  # what the network computes takes its memory
    require_equal(of_model(model) | {data_set: len(classes)})
    accelerate_as_config_says(model, uvpt_config(cfg), cfg)
    return model


def _build(cfg: Config, loaded: Mapping, checkpoint: str) -> nn.Module:
    check_forced(get_device())
    init_default_scope('mmseg')
    state_dict = state_dict_of(loaded, checkpoint)
    described = cfg.model
    if is_a(MODELS, described, AdaptedSegmentor) and not is_adapted(state_dict):
        described = source_within(described)
    model = MODELS.build(described)
    model.load_state_dict(fit(model, state_dict, f'checkpoint {checkpoint}'), strict=False)
    return model.eval().requires_grad_(False)  # makes more of it cheaper
