"""A model of mmseg: an `EncoderDecoder`, from its config and its checkpoint."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from torch import Tensor

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints.fitting import source_tensors
from mmseg_uvpt.checkpoints.hashes import ancestors
from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.importing.mmseg_backbones import NotStaged, backbone_as_it_is, staged
from mmseg_uvpt.importing.mmseg_config import config_within, import_modules, read_config, values_of
from mmseg_uvpt.importing.source_model import PADDING, SourceModel, names_of_classes
from mmseg_uvpt.importing.tensor_names import without
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor
from mmseg_uvpt.nested import dict_or_empty
from mmseg_uvpt.registry import is_a

AUXILIARY = 'auxiliary_head'
SEGMENTORS = ('EncoderDecoder', 'SourceSegmentor', 'SourceGtA')
_BACKBONE = 'backbone.'
_OF_CONVNEXT = ('mmpretrain', 'mmcls')  # which a translated backbone does without
_INPUTS = ('mean', 'std', 'bgr_to_rgb', 'rgb_to_bgr', 'test_cfg')  # of a preprocessor


def read(checkpoint: str | Path, config: str | Path | Config | None = None) -> SourceModel:
    """Read a checkpoint of mmseg 1.x or 0.x.

    Args:
        checkpoint: its file, which is opened without running any code in it.
        config: the config file, a program that is run, or what it gave; None for the text within
            the checkpoint, which is not.

    Raises:
        UserError: a file cannot be read, or describes something else than one backbone and head.
    """
    loaded = load_file(checkpoint)
    if isinstance(config, Config):
        cfg, config = config, config.filename
    else:
        cfg = read_config(config) if config else config_within(loaded, checkpoint)
    named = (cfg.get('custom_imports') or {}).get('imports') or () if config else ()
    named = [named] if isinstance(named, str) else list(named)
    imports = [name for name in named if not name.startswith(_OF_CONVNEXT)]
    import_modules(imports, config)
    where = str(config or f'the config within {checkpoint}')
    model, tensors = _model(cfg, where), state_dict_of(loaded, checkpoint)
    if _adapts(model):
        tensors = source_tensors(tensors, checkpoint)
    tensors = {name.removeprefix('module.'): tensor for name, tensor in tensors.items()}
    reason = None
    try:
        backbone, tensors = _staged(model['backbone'], tensors)
    except NotStaged as error:
        backbone, reason = _plain_norms(backbone_as_it_is(model['backbone'])), str(error)
        import_modules(imports := named, config)
    described = {
        'type': 'SourceSegmentor',
        'data_preprocessor': _preprocessor(cfg, where),
        'backbone': backbone,
        **{key: _plain_norms(model[key]) for key in ('neck', 'decode_head') if model.get(key)},
        'test_cfg': dict_or_empty(model.get('test_cfg')) or {'mode': 'whole'},
    }
    kept = without(tensors, AUXILIARY)
    head, meta = described['decode_head'], _meta(cfg, loaded)
    of = ' of mmseg' if model['type'].rpartition('.')[2] == SEGMENTORS[0] else ''
    source = SourceModel(
        origin=str(checkpoint),
        what=f'{model["backbone"]["type"]} and {head["type"]}{of}',
        model=described,
        state_dict=kept,
        classes=names_of_classes(meta.get('classes'), head['num_classes']),
        palette=meta.get('palette'),
        imports=imports,
        not_staged=reason,
        adapted_from=tuple(ancestors(loaded)),
        scale=scale_of_tests(cfg),
    )
    if len(kept) < len(tensors):
        source.left_out.append(f'{AUXILIARY} ({len(tensors) - len(kept)} tensors)')
    source.notes += _notes(cfg, described)
    return source


def _model(cfg: Config, where: str) -> dict:
    """Return a segmentor's config as plain dicts, if it has one backbone and one head."""
    model = cfg.get('model')
    for part in ('backbone', 'decode_head'):
        found = model.get(part) if isinstance(model, Mapping) else None
        if not isinstance(found, Mapping) or not isinstance(found.get('type'), str):
            raise UserError(f'{where}: model.{part} must be one, with its type')
    kind = str(model.get('type')).rpartition('.')[2]
    if kind not in SEGMENTORS and not _adapts(model):
        raise UserError(
            f'{where}: the model is a {kind}; those of one backbone and one head are read, '
            f'{" and ".join(SEGMENTORS)}'
        )
    head = model['decode_head']
    if not isinstance(head.get('num_classes'), int):
        raise UserError(
            f'{where}: model.decode_head, a {head["type"]}, states no num_classes: heads that are '
            'made of others are not adapted'
        )
    return Config(dict(model)).to_dict()


def _adapts(model: Mapping) -> bool:
    """Tell whether a segmentor is one of ours that adapts a source model."""
    name = str(model.get('type')).rpartition('.')[2]
    return is_a(MODELS, {'type': name}, AdaptedSegmentor)


def _staged(described: dict, tensors: dict[str, Tensor]) -> tuple[dict, dict[str, Tensor]]:
    """Translate the backbone of a segmentor, whose other tensors stay."""
    within = {k.removeprefix(_BACKBONE): t for k, t in tensors.items() if k.startswith(_BACKBONE)}
    backbone, within = staged(described, within)
    renamed = {f'{_BACKBONE}{name}': tensor for name, tensor in within.items()}
    return backbone, {**renamed, **without(tensors, _BACKBONE)}


def _preprocessor(cfg: Config, where: str) -> dict:
    """Return how images become inputs, of mmseg 1.x or 0.x."""
    model = cfg.model
    found = dict_or_empty(model.get('data_preprocessor') or cfg.get('data_preprocessor'))
    old = dict_or_empty(cfg.get('img_norm_cfg'))
    if old and not found.get('mean'):  # of 0.x
        found = {**old, 'bgr_to_rgb': old.get('to_rgb', True)}
    if not found.get('mean') or not found.get('std'):
        raise UserError(
            f'{where} has no mean and std of the inputs: state them in model.data_preprocessor'
        )
    kept = {key: found[key] for key in _INPUTS if found.get(key)}
    return {'type': 'SegDataPreProcessor', **kept, **PADDING}


def _plain_norms(node: object) -> object:
    """Replace batch norms over several processes, of the same tensors, by those of one.

    ``sync_bn`` of a config turns them into those of several where several train.
    """
    if isinstance(node, dict):
        made = {key: _plain_norms(value) for key, value in node.items()}
        if made.get('type') == 'SyncBN':
            made['type'] = 'BN'
        return {'type': made['type'], **made} if 'type' in made else made
    return type(node)(map(_plain_norms, node)) if isinstance(node, list | tuple) else node


def _meta(cfg: Config, loaded: Mapping) -> Mapping:
    """Return ``classes`` and ``palette``: the checkpoint's, else those of the config's data set.

    Empty where neither names classes; without a palette that is not of as many colours.
    """
    kinds = (cfg.get('dataset_type'), *values_of(cfg.get('test_dataloader'), 'type'))
    stated = (
        _meta_of_checkpoint(loaded['meta']),
        dict_or_empty(cfg.get('metainfo')),  # of a config of ours
        *map(dict_or_empty, values_of(cfg.get('test_dataloader'), 'metainfo')),
        *(getattr(DATASETS.get(str(kind)), 'METAINFO', {}) for kind in kinds),
    )
    found = next((meta for meta in stated if meta.get('classes')), {})
    palette = found.get('palette')
    whole = isinstance(palette, list | tuple) and all(isinstance(c, list | tuple) for c in palette)
    return found if whole and len(palette) == len(found['classes']) else {**found, 'palette': None}


def _meta_of_checkpoint(meta: Mapping) -> dict:
    """Return what a checkpoint says of its classes, by mmengine's names; mmseg 0.x had others."""
    old = {'classes': meta.get('CLASSES'), 'palette': meta.get('PALETTE')}
    found = dict_or_empty(meta.get('dataset_meta')) or old
    return {str(key).lower(): value for key, value in found.items()}


def _notes(cfg: Config, described: dict) -> list[str]:
    """Say what differs from how mmseg's config predicts."""
    notes, test_cfg = [], described['test_cfg']
    if test_cfg.get('mode') == 'slide':
        window, stride = (
            ' x '.join(map(str, test_cfg.get(k, ()))) for k in ('crop_size', 'stride')
        )
        notes.append(
            f'predicts by windows of {window}, {stride} apart, as its test_cfg says; an adaptation '
            "trains on whole crops. test_cfg=dict(mode='whole') is faster"
        )
    return notes


def scale_of_tests(cfg: Config) -> tuple[int, int] | None:
    """Return (width, height) within which its tests resize images."""
    pipelines = [cfg.get('test_dataloader'), cfg.get('test_pipeline'), cfg.get('data')]
    pairs = values_of(pipelines, 'scale', 'img_scale')
    sizes = (tuple(p) for p in pairs if isinstance(p, list | tuple) and len(p) == 2)
    return next((size for size in sizes if all(type(side) is int for side in size)), None)
