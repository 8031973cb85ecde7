"""Backbones of mmseg and mmpretrain as staged backbones, with the names of their tensors."""

import inspect
from collections.abc import Mapping

from mmseg.models.backbones import MixVisionTransformer, SwinTransformer
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_uvpt.importing.tensor_names import differences, renamed
from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.models.backbones.swin import FIXED
from mmseg_uvpt.registry import class_of, is_a

Tensors = dict[str, Tensor]
# arguments that say how a backbone is trained or initialised, not what it computes
_TRAINING = {'init_cfg', 'pretrained', 'pretrain_style', 'with_cp', 'frozen_stages'}
_CONVNEXTS = {
    'tiny': ((3, 3, 9, 3), (96, 192, 384, 768)),
    'small': ((3, 3, 27, 3), (96, 192, 384, 768)),
    'base': ((3, 3, 27, 3), (128, 256, 512, 1024)),
    'large': ((3, 3, 27, 3), (192, 384, 768, 1536)),
    'xlarge': ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}


class NotStaged(Exception):
    """A backbone that cannot be run stage by stage; the message says why."""


def staged(described: Mapping, tensors: Tensors) -> tuple[dict, Tensors]:
    """Translate a backbone.

    Args:
        described: its config.
        tensors: its tensors, under mmseg's names.

    Returns:
        tuple: the config of a staged backbone, and the tensors under its names.

    Raises:
        NotStaged: it is none of those that can be run stage by stage, or has a variation that the
            staged one lacks.
    """
    kind = str(described['type']).rpartition('.')[2]
    given = {key: value for key, value in described.items() if key not in _TRAINING}
    if kind in _TRANSLATED:
        return _TRANSLATED[kind](given, tensors)
    if is_staged(kind):
        return {**given, 'type': kind}, tensors
    raise NotStaged(
        f'{kind} is none of {", ".join(_TRANSLATED)} or those of docs/backbones.md, which can be '
        'run stage by stage'
    )


def is_staged(kind: str) -> bool:
    """Tell whether a backbone, by the name of its class, can be run stage by stage as it is."""
    return is_a(MODELS, {'type': kind}, StagedBackbone)


def backbone_as_it_is(described: Mapping) -> dict:
    """Return a backbone's config without what loads other weights or freezes parts of it."""
    kept = {key: value for key, value in described.items() if key not in _TRAINING}
    kind = class_of(MODELS, described)
    given = inspect.signature(kind).parameters.get('pretrained') if kind else None
    if given and given.default not in (None, False, given.empty):  # it would load some by default
        kept['pretrained'] = False
    return kept


def _with_defaults(kind: type, given: dict) -> dict:
    """Add the defaults of a class to its arguments."""
    parameters = inspect.signature(kind).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.name not in _TRAINING}
    if unknown := given.keys() - defaults.keys() - {'type'}:
        raise NotStaged(f'{kind.__name__} has no {", ".join(sorted(unknown))}')
    return {**defaults, **given}


def _require(kind: str, given: Mapping, **wanted: object) -> None:
    """Raise `NotStaged` unless arguments have certain values, where they are given."""
    for key, found, value in differences(given, wanted):
        raise NotStaged(f'{kind} has {key}={found}, the staged one {value}')


def _swin(given: dict, tensors: Tensors) -> tuple[dict, Tensors]:
    given = _with_defaults(SwinTransformer, given)
    _require('SwinTransformer', given, **FIXED)
    changed = ('embed_dims', 'depths', 'num_heads', 'drop_path_rate', 'window_size', 'mlp_ratio')
    more = ('qkv_bias', 'qk_scale', 'patch_norm', 'norm_cfg', 'act_cfg')
    defaults = inspect.signature(SwinTransformer).parameters
    kept = {key: given[key] for key in more if given[key] != defaults[key].default}
    return {'type': 'StagedSwin', **{key: given[key] for key in changed}, **kept}, tensors


def _mit(given: dict, tensors: Tensors) -> tuple[dict, Tensors]:
    given = _with_defaults(MixVisionTransformer, given)
    _require(
        'MixVisionTransformer',
        given,
        in_channels=3,
        num_stages=4,
        patch_sizes=(7, 3, 3, 3),
        strides=(4, 2, 2, 2),
        out_indices=(0, 1, 2, 3),
        qkv_bias=True,
        act_cfg={'type': 'GELU'},
    )
    _require('MixVisionTransformer', {'norm': given['norm_cfg'].get('type')}, norm='LN')
    eps = given['norm_cfg'].get('eps', 1e-5)
    described = {
        'type': 'StagedMiT',
        'widths': [given['embed_dims'] * heads for heads in given['num_heads']],
        'depths': given['num_layers'],
        'num_heads': given['num_heads'],
        'reductions': given['sr_ratios'],
        'mlp_ratio': given['mlp_ratio'],
        'drop_path_rate': given['drop_path_rate'],
        'eps': eps,
        'embedding_eps': eps,
    }
    parts = []
    for i in range(4):
        parts += [
            (f'layers.{i}.0.projection.', f'patch_embed{i + 1}.proj.'),
            (f'layers.{i}.0.norm.', f'patch_embed{i + 1}.norm.'),
            (f'layers.{i}.1.', f'block{i + 1}.'),
            (f'layers.{i}.2.', f'norm{i + 1}.'),
        ]
    ffn = {'0': 'fc1', '1': 'dwconv.dwconv', '4': 'fc2'}
    parts = [(f'.ffn.layers.{old}.', f'.mlp.{new}.') for old, new in ffn.items()] + parts
    parts.append(('.attn.attn.out_proj.', '.attn.proj.'))
    return described, _linear(_split_queries(renamed(tensors, parts)))


def _split_queries(tensors: Tensors) -> Tensors:
    """Divide what makes queries, keys and values into what makes queries and the rest."""
    found = {}
    for name, tensor in tensors.items():
        before, middle, kind = name.partition('.attn.attn.in_proj_')
        if middle:
            width = len(tensor) // 3
            found[f'{before}.attn.q.{kind}'] = tensor[:width]
            found[f'{before}.attn.kv.{kind}'] = tensor[width:]
        else:
            found[name] = tensor
    return found


def _linear(tensors: Tensors) -> Tensors:
    """Turn the weights of 1x1 convolutions into those of linear layers."""
    layers = ('.mlp.fc1.weight', '.mlp.fc2.weight')
    return {k: x.flatten(1) if k.endswith(layers) else x for k, x in tensors.items()}


def _convnext(given: dict, tensors: Tensors) -> tuple[dict, Tensors]:
    _require(
        'ConvNeXt',
        given,
        in_channels=3,
        stem_patch_size=4,
        use_grn=False,
        act_cfg={'type': 'GELU'},
        norm_cfg={'type': 'LN2d', 'eps': 1e-6},
    )
    _require(
        'ConvNeXt',
        {'out_indices': -1, 'gap_before_final_norm': True, **given},
        out_indices=(0, 1, 2, 3),
        gap_before_final_norm=False,
    )
    arch = given.get('arch', 'tiny')
    if isinstance(arch, str) and arch not in _CONVNEXTS:
        raise NotStaged(f'ConvNeXt has arch={arch!r}, which is none of {", ".join(_CONVNEXTS)}')
    depths, widths = (
        _CONVNEXTS[arch] if isinstance(arch, str) else (arch['depths'], arch['channels'])
    )
    described = convnext(depths, widths, given.get('drop_path_rate', 0.0))
    parts = [(f'stages.{i}.', f'net.stages.{i}.blocks.') for i in range(4)]
    parts += [('downsample_layers.0.', 'net.stem.')]
    parts += [(f'downsample_layers.{i}.', f'net.stages.{i}.downsample.') for i in range(1, 4)]
    parts += [('depthwise_conv.', 'conv_dw.'), ('pointwise_conv', 'mlp.fc')]
    parts += [(f'norm{i}.', f'stage_norms.{i}.') for i in range(4)]
    return described, _linear(renamed(tensors, parts))


def convnext(depths: tuple[int, ...], widths: tuple[int, ...], drop_path_rate: float) -> dict:
    """Return the config of a ConvNeXt with a norm for each feature map."""
    return {
        'type': 'TimmConvNeXt',
        'model': 'convnext_tiny',  # of which the next two make any other
        'depths': depths,
        'dims': widths,
        'drop_path_rate': drop_path_rate,
        'stage_norms': True,
    }


_TRANSLATED = {'SwinTransformer': _swin, 'MixVisionTransformer': _mit, 'ConvNeXt': _convnext}
