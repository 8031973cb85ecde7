"""The config of a shared model: written as plain values, and read without trusting who wrote it."""

import copy
from collections.abc import Iterator
from pathlib import Path

import mmengine.registry
import mmseg.registry
from mmengine.config import Config

import mmseg_uvpt.registry
from mmseg_uvpt.engine.config.classes import meta_of
from mmseg_uvpt.engine.config.pipelines import RESIZES
from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.files import read_bytes, why_unreadable
from mmseg_uvpt.importing.mmseg_config import plain_values
from mmseg_uvpt.nested import everything_in

_NO_PART_OF_A_PREDICTION = (  # and the arguments by which mmseg reads files
    *('loss_decode', 'auxiliary_head', 'train_cfg', 'init_cfg', 'pretrained', 'anchors'),
    *('source_checkpoint', 'sampler', 'weights', 'checkpoint_path', 'cache_dir'),
    *('pretrained_cfg', 'pretrained_cfg_overlay'),
)
# packages of whose registered classes only these modules may be named
_FOREIGN = ('mmengine', 'mmcv', 'mmseg', 'torch', 'torchvision')
_MODULES = (
    *('mmseg.models.backbones.', 'mmseg.models.decode_heads.', 'mmseg.models.necks.'),
    *('mmseg.models.data_preprocessor', 'mmcv.cnn.', 'torch.nn.', 'mmengine.model.'),
)
_DOWNLOADS = ('TIMMBackbone', 'VPD')  # the second calls what a name in it says
_MOST_BYTES = 1 << 20


def shared_text(cfg: Config) -> str:
    """Return a resolved config as text, with classes and palette where `read_shared` takes them.

    Raises:
        UserError: it holds more than plain values.
    """
    cfg, meta = copy.deepcopy(cfg), meta_of(cfg.test_dataloader.dataset)
    named = {'classes': list(meta['classes']), 'palette': [list(c) for c in meta['palette']]}
    cfg.test_dataloader.dataset['metainfo'] = named
    text = cfg.pretty_text
    try:
        plain_values(text)
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f'config {cfg.filename} holds more than plain values ({first_line(error)}), so '
            'nobody could read it without running it: leave that out'
        ) from error
    return text


def require_shareable(cfg: Config, name: str) -> None:
    """Make sure that what is shared of a model could be read again.

    Args:
        cfg: resolved config.
        name: of the model, for the error.

    Raises:
        UserError: it could not.
    """
    data = shared_text(cfg).encode()
    try:
        _for_prediction(data, f'the config of {name}')
    except UserError as error:
        raise UserError(f'what is made of {name} could not be loaded: {error}') from error


def read_shared(path: Path) -> Config:
    """Return what a prediction needs of a config that somebody else wrote; nothing of it is run.

    It is made anew of plain values: the network, whose parts must be models of this package, of
    mmseg or of whoever imported theirs; classes and palette; and how images are resized. mmengine
    would import whatever a type with dots names, and mmseg reads files and addresses that some
    arguments hold, so neither is let through.

    Raises:
        UserError: it cannot be read, or holds anything else where that stands.
    """
    try:
        data = read_bytes(path, _MOST_BYTES + 1)
    except OSError as error:
        raise UserError(
            f'{path.parent} is no shared model: {path.name} {why_unreadable(path, error)}; '
            'save_pretrained writes one'
        ) from error
    return Config(_for_prediction(data, path), filename=path)


def _for_prediction(data: bytes, where: str | Path) -> dict:
    """Return what a prediction needs of the text of a config; ``where`` names it for errors."""
    values = _values(data, where)
    try:
        model, dataset = values['model'], values['test_dataloader']['dataset']
        meta, steps = dataset['metainfo'], dataset['pipeline']
        described = _without_training(model)
        resizes = [dict(step) for step in steps if step['type'] in RESIZES]
        others = [step['type'] for step in steps if step['type'] not in RESIZES]
        named = {'classes': _texts(meta['classes']), 'palette': _numbers(meta['palette'])}
        simple = all(_is_simple(value) for step in resizes for value in step.values())
        amp = bool(values.get('uvpt', {}).get('amp', False))
    except Exception as error:  # whatever stands there instead
        raise _unusable(where, f'{type(error).__name__}: {first_line(error)}') from error
    if odd := next((x for x in others if not x.startswith(('Load', 'PackSeg'))), None):
        raise _unusable(where, f'images are to pass through {odd}')
    if not simple:
        raise _unusable(where, 'Resize has arguments that are neither numbers nor names')
    _require_known(described, where)
    pipeline = [{'type': 'LoadImageChecked'}, *resizes, {'type': 'PackSegInputs'}]
    dataset = {'type': 'CheckedCityscapesDataset', 'metainfo': named, 'pipeline': pipeline}
    return {'model': described, 'test_dataloader': {'dataset': dataset}, 'uvpt': {'amp': amp}}


def _values(data: bytes, where: str | Path) -> dict:
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError(f'it is longer than {_MOST_BYTES} bytes')
        return plain_values(data.decode())
    except Exception as error:  # a text can be wrong in any way
        raise _unusable(where, f'it is more than plain values: {first_line(error)}') from error


def _without_training(node: object) -> object:
    """Return a description without what only a training needs."""
    if isinstance(node, dict):
        kept = {k: v for k, v in node.items() if k not in _NO_PART_OF_A_PREDICTION}
        return {key: _without_training(value) for key, value in kept.items()}
    if isinstance(node, list | tuple):
        return type(node)(_without_training(value) for value in node)
    return node


def _require_known(described: dict, where: str | Path) -> None:
    modules = (mmengine.registry, mmseg.registry, mmseg_uvpt.registry)
    known: dict[str, list] = {}
    for registry in (each for module in modules for each in vars(module).values()):
        if isinstance(registry, mmengine.registry.Registry):
            for name, kind in registry.module_dict.items():
                known.setdefault(name, []).append(kind)
    for kind in _types_in(described):
        scope, _, name = str(kind).rpartition('.')
        allowed = known.get(name) and all(map(_may_be_named, known[name]))
        if not allowed or scope not in ('', *_FOREIGN, 'mmseg_uvpt') or name in _DOWNLOADS:
            raise _unusable(where, f'{kind!r} is no part of a model that is known here')
    for text in everything_in(described):
        if isinstance(text, str) and any(mark in text for mark in '/\\:~'):
            raise _unusable(where, f'{text!r} may name a file or an address')


def _may_be_named(kind: type) -> bool:
    module = f'{getattr(kind, "__module__", "")}.'
    foreign = module.partition('.')[0] in _FOREIGN
    return not foreign or module.startswith(_MODULES)


def _types_in(described: dict) -> Iterator[object]:
    for part in everything_in(described):
        if isinstance(part, dict) and 'type' in part:
            yield part['type']
        if isinstance(part, dict) and '_scope_' in part:
            yield f'{part["_scope_"]}.{part.get("type")}'


def _texts(values: object) -> list[str]:
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
        raise ValueError('classes is no list of names')
    return list(values)


def _numbers(rows: object) -> list[list[int]]:
    return [[int(number) for number in row] for row in rows]


def _is_simple(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_simple, value))
    return value.isidentifier() if isinstance(value, str) else isinstance(value, int | float)


def _unusable(where: str | Path, reason: str) -> UserError:
    return UserError(
        f'{where} is not used, because {reason}. Shared models are made of parts that are '
        'registered here; import the module that registers others first, if you trust it'
    )
