"""Backbones at full size, without values: numbers of parameters, maps, and timm's names."""

from pathlib import Path

import pytest
import timm
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints.hub import HUB
from mmseg_uvpt.checkpoints.shapes import shapes_only

BASES = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
PYRAMID = (128, 256, 512, 1024)
# millions of parameters, without the classifier: those of timm's table of results less it (305.08
# less 1.03 of EVA-02), of Swin-B and MiT-B5 those of the papers; widths, strides, patch, and tokens
# before the map's
SIZES = {
    'dinov2-b': (86.58, (768,) * 4, (14,) * 4, 14, 1),
    'dinov2-l': (304.37, (1024,) * 4, (14,) * 4, 14, 1),
    'dinov3-l': (303.08, (1024,) * 4, (16,) * 4, 16, 5),
    'eva02-l': (304.05, (1024,) * 4, (14,) * 4, 14, 1),
    'convnext-b': (87.56, PYRAMID, (4, 8, 16, 32), 1, 0),
    'swinv2-b': (86.89, PYRAMID, (4, 8, 16, 32), 1, 0),
    'swin-b': (86.75, PYRAMID, (4, 8, 16, 32), 1, 0),
    'mit-b5': (81.44, (64, 128, 320, 512), (4, 8, 16, 32), 1, 0),
}
OURS = ('swin-b', 'mit-b5')
FAST = ('dinov2-b', 'dinov3-l', 'swin-b')


def described(name: str) -> Config:
    return Config.fromfile(BASES / f'{name}_source.py').model


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in SIZES]
)
def test_sizes(name):
    init_default_scope('mmseg')
    with shapes_only():
        backbone = MODELS.build(described(name).backbone)
    millions, *shape = SIZES[name]
    assert round(sum(p.numel() for p in backbone.parameters()) / 1e6, 2) == millions
    assert [backbone.widths, backbone.strides, backbone.patch, backbone.prefix_tokens] == shape
    assert tuple(described(name).decode_head.in_channels) == backbone.widths
    assert all(parameter.is_meta for parameter in backbone.parameters())


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in SIZES if name not in OURS])
def test_names_are_those_of_timms_model(name):
    config = described(name).backbone
    assert config.init_cfg.checkpoint == HUB + config.model
    assert config.model in timm.list_pretrained()
    with shapes_only():
        backbone = MODELS.build(config)
        other = timm.create_model(config.model)
    expected = {
        name: tensor.shape
        for name, tensor in other.state_dict().items()
        if not name.startswith(('head.', 'fc_norm.'))
    }
    found = {name: tensor.shape for name, tensor in backbone.net.state_dict().items()}
    assert found == expected
