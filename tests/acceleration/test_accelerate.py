"""What `accelerate` does changes no number, and is told."""

import copy

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmseg_uvpt.acceleration import accelerate as accelerate_module
from mmseg_uvpt.acceleration.accelerate import accelerate, table
from mmseg_uvpt.acceleration.amp import half_type
from mmseg_uvpt.engine.config.uvpt import UvptConfig
from mmseg_uvpt.models.backbones.mit import Block
from mmseg_uvpt.ops import backends

MODELS = ('swin-nano', 'mit-nano')
CHANGES = {'backbone.drop_path_rate': 0.5, 'decode_head.dropout_ratio': 0.1}


def losses_and_gradients(model, image, samples):
    torch.manual_seed(1)
    losses = model.loss(image, samples)
    model.parse_losses(losses)[0].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return losses, gradients, dict(model.named_buffers())


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('size', [pytest.param((64, 64), marks=pytest.mark.slow), (50, 71)])
def test_a_step_has_the_numbers_of_the_plain_model(name, size, build, labelled):
    torch.manual_seed(0)
    plain = build(f'{name}_uni-uvpt', CHANGES).train()
    nn.init.normal_(plain.decode_head.conv_seg.weight)
    fast = copy.deepcopy(plain)
    changes = accelerate(fast)
    image = torch.randn(2, 3, *size)
    labels = torch.randint(0, 19, (2, *size))
    labels[:, :5] = 255
    samples = labelled(labels)
    with backends.forced('reference'):
        expected = losses_and_gradients(plain, image, samples)
    for found, wanted in zip(losses_and_gradients(fast, image, samples), expected, strict=True):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            difference = (found[key].float() - value.float()).norm()
            assert difference <= 1e-4 * value.float().norm() + 1e-6, key
    assert list(fast.state_dict()) == list(plain.state_dict())
    assert 'FastLovaszSoftmax' in table(changes)


@pytest.mark.parametrize('kind', ['source', 'uni-uvpt'])
@pytest.mark.parametrize('name', MODELS)
def test_inference_has_the_numbers_of_the_plain_model(name, kind, build):
    torch.manual_seed(0)
    plain = build(f'{name}_{kind}').eval().requires_grad_(False)
    for module in plain.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    fast = copy.deepcopy(plain)
    accelerate(fast)
    image = torch.randn(1, 3, 90, 61)
    with torch.inference_mode():
        with backends.forced('reference'):
            expected = plain(image, mode='tensor')
        found = fast(image, mode='tensor')
    assert (found - expected).norm() <= 1e-6 * expected.norm()


def test_the_changes_are_counted(build):
    model = build('mit-nano_uni-uvpt')
    blocks = sum(type(module) is Block for module in model.modules())
    counts = {change.plain.rpartition('.')[2]: change.places for change in accelerate(model)}
    assert counts['Block'] == blocks == 8
    assert counts['PromptAdapter'] == 4
    assert 'autocast to bfloat16' not in table([])


def test_a_copy_of_an_accelerated_model_is_one_of_its_own(build, labelled):
    model = build('swin-nano_uni-uvpt').train()
    accelerate(model, amp=True, low_memory=True)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    samples = labelled(torch.zeros(1, 64, 64))
    losses = other(torch.randn(1, 3, 64, 64), samples, mode='loss')
    assert all(loss.isfinite() for loss in losses.values())


def test_plain_says_which_flags_it_overrides(build, monkeypatch):
    said = []
    monkeypatch.setattr(accelerate_module, 'print_log', lambda text, *_: said.append(text))
    options = UvptConfig(plain=True, compile=True, low_memory=True)
    with backends.forced(None):
        assert (
            accelerate_module.accelerate_as_config_says(build('mit-nano_source'), options, Config())
            == []
        )
    assert said[0] == '--plain: uvpt.compile and uvpt.low_memory without effect'


def test_a_gpu_of_old_says_nothing_of_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (7, 5))
    assert half_type('cpu') == torch.bfloat16
    assert half_type('cuda:0') == torch.float16
