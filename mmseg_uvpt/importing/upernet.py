"""UPerNet of `transformers`, on a Swin or a ConvNeXt."""

from collections.abc import Mapping

from torch import Tensor

from mmseg_uvpt.importing.mmseg_backbones import convnext
from mmseg_uvpt.importing.segformer import STAGES, lists, require
from mmseg_uvpt.importing.tensor_names import joined, renamed, without
from mmseg_uvpt.nested import dict_or_empty

Tensors = dict[str, Tensor]
_HEAD = [('.batch_norm.', '.bn.'), ('decode_head.classifier.', 'decode_head.conv_seg.')]
_QUERIES = tuple(f'.attention.self.{part}.' for part in ('query', 'key', 'value'))
_SWIN = [
    ('backbone.embeddings.patch_embeddings.', 'backbone.patch_embed.'),
    ('backbone.embeddings.norm.', 'backbone.patch_embed.norm.'),
    ('backbone.encoder.layers.', 'backbone.stages.'),
    ('.attention.self.', '.attn.w_msa.'),
    ('.attention.output.dense.', '.attn.w_msa.proj.'),
    *(('.intermediate.dense.', '.ffn.layers.0.0.'), ('.output.dense.', '.ffn.layers.1.')),
    *(('.layernorm_before.', '.norm1.'), ('.layernorm_after.', '.norm2.')),
    *((f'.hidden_states_norms.stage{i + 1}.', f'.norm{i}.') for i in range(STAGES)),
]
_CONVNEXT = [
    ('backbone.embeddings.patch_embeddings.', 'backbone.net.stem.0.'),
    ('backbone.embeddings.layernorm.', 'backbone.net.stem.1.'),
    ('backbone.encoder.stages.', 'backbone.net.stages.'),
    *(('.downsampling_layer.', '.downsample.'), ('.layers.', '.blocks.')),
    *(('.dwconv.', '.conv_dw.'), ('.layernorm.', '.norm.'), ('.pwconv', '.mlp.fc')),
    ('.layer_scale_parameter', '.gamma'),
    *((f'.hidden_states_norms.stage{i + 1}.', f'.stage_norms.{i}.') for i in range(STAGES)),
]


def translated(config: Mapping, tensors: Tensors) -> tuple[dict, Tensors]:
    """Return configs of backbone and head, and the tensors under our names.

    Raises:
        ValueError: the backbone is another one, or has a variation that is not read.
    """
    within = dict_or_empty(config.get('backbone_config'))
    kind = within.get('model_type')
    if kind not in _BACKBONES:
        raise ValueError(
            f'backbone_config.model_type is {kind!r}; what is read is {", ".join(_BACKBONES)}. '
            'mmseg has most others: a checkpoint of mmseg is taken with any backbone, of which the '
            "head alone can be tuned then, model.tuner=dict(type='Head')"
        )
    backbone, widths, found = _BACKBONES[kind](within, tensors)
    head = {
        'type': 'UPerHead',
        'in_channels': widths,
        'in_index': [*range(STAGES)],
        'pool_scales': config.get('pool_scales', (1, 2, 3, 6)),
        'channels': config.get('hidden_size', 512),
        'dropout_ratio': 0.1,  # the library has none; mmseg trained what is published
        'norm_cfg': {'type': 'BN'},
    }
    return {'backbone': backbone, 'decode_head': head}, renamed(found, _HEAD)


def _swin(config: Mapping, tensors: Tensors) -> tuple[dict, list[int], Tensors]:
    wanted = {'num_channels': 3, 'patch_size': 4, 'hidden_act': 'gelu', 'layer_norm_eps': 1e-5}
    require(config, {**wanted, 'use_absolute_embeddings': False}, 'backbone_config.')
    depths, heads = lists(config, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24))
    width = config.get('embed_dim', 96)
    backbone = {
        'type': 'StagedSwin',
        'embed_dims': width,
        'depths': depths,
        'num_heads': heads,
        'window_size': config.get('window_size', 7),
        'mlp_ratio': config.get('mlp_ratio', 4.0),
        'qkv_bias': config.get('qkv_bias', True),
        'drop_path_rate': config.get('drop_path_rate', 0.1),
    }
    found = renamed(joined(tensors, _QUERIES, '.attention.self.qkv.'), _SWIN)
    # the index is computed; the last norm is that of the classifier
    found = {k: t for k, t in found.items() if not k.endswith('relative_position_index')}
    for name, tensor in found.items():
        if '.downsample.' in name:
            found[name] = in_order_of_mmseg(tensor)
    found = without(found, 'backbone.layernorm.', 'backbone.swin.layernorm.')
    return backbone, [width * 2**i for i in range(STAGES)], found


def in_order_of_mmseg(tensor: Tensor) -> Tensor:
    """Put what patch merging has of 2 x 2 pixels, (..., columns * rows * C), in mmseg's order.

    That is channels first, then rows, then columns: (..., C * rows * columns).
    """
    return tensor.unflatten(-1, (2, 2, -1)).transpose(-1, -3).flatten(-3)


def _convnext(config: Mapping, tensors: Tensors) -> tuple[dict, list[int], Tensors]:
    require(config, {'num_channels': 3, 'patch_size': 4, 'hidden_act': 'gelu'}, 'backbone_config.')
    widths, depths = lists(config, hidden_sizes=(96, 192, 384, 768), depths=(3, 3, 9, 3))
    backbone = convnext(depths, widths, config.get('drop_path_rate', 0.0))
    return backbone, widths, without(renamed(tensors, _CONVNEXT), 'backbone.layernorm.')


_BACKBONES = {'swin': _swin, 'convnext': _convnext}
