"""SegFormer of `transformers`, whose tensors are named as its files have them."""

from collections.abc import Mapping

from torch import Tensor

from mmseg_uvpt.importing.tensor_names import differences, joined, renamed

STAGES = 4
# the library takes torch's, whatever layer_norm_eps of config.json says
_EPS = 1e-5
_NAMES = [
    *(('.attention.self.query.', '.attn.q.'), ('.attention.output.dense.', '.attn.proj.')),
    *(('.attention.self.sr.', '.attn.sr.'), ('.attention.self.layer_norm.', '.attn.norm.')),
    *(('.layer_norm_1.', '.norm1.'), ('.layer_norm_2.', '.norm2.')),
    *(('.mlp.dense1.', '.mlp.fc1.'), ('.mlp.dense2.', '.mlp.fc2.')),
    ('decode_head.linear_fuse.', 'decode_head.fusion_conv.conv.'),
    ('decode_head.batch_norm.', 'decode_head.fusion_conv.bn.'),
    ('decode_head.classifier.', 'decode_head.conv_seg.'),
]
for _i in range(STAGES):
    _NAMES += [
        (f'segformer.encoder.patch_embeddings.{_i}.proj.', f'backbone.patch_embed{_i + 1}.proj.'),
        (
            f'segformer.encoder.patch_embeddings.{_i}.layer_norm.',
            f'backbone.patch_embed{_i + 1}.norm.',
        ),
        (f'segformer.encoder.block.{_i}.', f'backbone.block{_i + 1}.'),
        (f'segformer.encoder.layer_norm.{_i}.', f'backbone.norm{_i + 1}.'),
        (f'decode_head.linear_c.{_i}.proj.', f'decode_head.convs.{_i}.'),
    ]
_KEYS_VALUES = ('.attention.self.key.', '.attention.self.value.')


def require(config: Mapping, wanted: Mapping[str, object], where: str = '') -> None:
    """Raise a `ValueError` unless a config says what its model must be; what it omits is right."""
    for key, found, value in differences(config, wanted):
        raise ValueError(f'{where}{key} is {found!r}; a model is read where it is {value!r}')


def lists(config: Mapping, **defaults: tuple) -> list[list]:
    """Return entries of four numbers each, the library's defaults where they are omitted."""
    found = [config.get(key, value) for key, value in defaults.items()]
    for key, value in zip(defaults, found, strict=True):
        if not isinstance(value, list | tuple) or len(value) != STAGES:
            raise ValueError(f'{key} is {value!r}; a model of {STAGES} stages is read')
    return [list(value) for value in found]


def translated(config: Mapping, tensors: dict[str, Tensor]) -> tuple[dict, dict[str, Tensor]]:
    """Return configs of backbone and head, and the tensors under our names.

    Raises:
        ValueError: the config has a variation that is not read.
    """
    wanted = {'num_channels': 3, 'patch_sizes': (7, 3, 3, 3), 'strides': (4, 2, 2, 2)}
    require(config, {**wanted, 'hidden_act': 'gelu'})
    widths, depths, heads, reductions, ratios = lists(
        config,
        hidden_sizes=(32, 64, 160, 256),
        depths=(2, 2, 2, 2),
        num_attention_heads=(1, 2, 5, 8),
        sr_ratios=(8, 4, 2, 1),
        mlp_ratios=(4, 4, 4, 4),
    )
    require({'mlp_ratios': ratios}, {'mlp_ratios': (ratios[0],) * STAGES})
    backbone = {
        'type': 'StagedMiT',
        'widths': widths,
        'depths': depths,
        'num_heads': heads,
        'reductions': reductions,
        'mlp_ratio': ratios[0],
        'drop_path_rate': config.get('drop_path_rate', 0.1),
        'eps': _EPS,
        'embedding_eps': _EPS,
    }
    head = {
        'type': 'LinearSegformerHead',
        'in_channels': widths,
        'in_index': [*range(STAGES)],
        'channels': config.get('decoder_hidden_size', 256),
        'dropout_ratio': config.get('classifier_dropout_prob', 0.1),
        'norm_cfg': {'type': 'BN'},
    }
    found = renamed(joined(tensors, _KEYS_VALUES, '.attn.kv.'), _NAMES)
    for name, tensor in found.items():
        if name.startswith('decode_head.convs.') and tensor.ndim == 2:
            found[name] = tensor[..., None, None]  # of a linear layer, on a map
    fusion = 'decode_head.fusion_conv.conv.weight'
    if fusion in found:  # the library joins the maps from the last to the first
        found[fusion] = found[fusion].unflatten(1, (STAGES, -1)).flip(1).flatten(1, 2)
    return {'backbone': backbone, 'decode_head': head}, found
