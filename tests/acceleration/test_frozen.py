"""Frozen layers: the numbers of torch's own, nothing saved for gradients that nobody needs."""

import copy

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from mmseg_uvpt.acceleration.frozen import FrozenConv2d
from mmseg_uvpt.acceleration.replacements import replace_modules

SIZE = (14, 14)
TOKENS = SIZE[0] * SIZE[1]
BLOCKS = {
    # (config, floats saved for each token and channel): norms 2, q, k and v, attention's result,
    # GELU's input 4 times as wide; Swin's windows are whole here
    'swin': (dict(type='StagedSwin', embed_dims=32, depths=(1,) * 4, num_heads=(2,) * 4), 10),
    # q and norms 3, k and v of a 49th of the tokens, attention's result, GELU's input
    'mit': (
        dict(
            type='StagedMiT',
            widths=(32,) * 4,
            depths=(1,) * 4,
            num_heads=(2,) * 4,
            reductions=(7,) * 4,
        ),
        8 + 4 / 49,
    ),
}


def frozen(module: nn.Module) -> nn.Module:
    """Return a module as it is replaced within a staged backbone that is not trained."""
    model = nn.ModuleDict({'staged': nn.Sequential(module)}).requires_grad_(False)
    replace_modules(model)
    return model['staged'][0]


def saved_by(run) -> list[torch.Tensor]:
    """Return what a graph keeps beside parameters and whole numbers, each piece of memory once."""
    found = {}

    def keep(tensor):
        if tensor.is_floating_point():
            found[tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape] = (
                tensor
            )
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return list(found.values())


def without_parameters(tensors, *modules) -> int:
    """Return the number of elements of the tensors that are no parameters' (or views of them)."""
    own = {p.untyped_storage().data_ptr() for m in modules for p in m.parameters()}
    return sum(t.numel() for t in tensors if t.untyped_storage().data_ptr() not in own)


@pytest.mark.parametrize('name', BLOCKS)
def test_what_a_frozen_block_saves(name):
    config, expected = BLOCKS[name]
    backbone = frozen(MODELS.build({**config, 'drop_path_rate': 0.0}))
    tokens = torch.randn(1, TOKENS, 32, requires_grad=True)
    found = without_parameters(saved_by(lambda: backbone.blocks(0, tokens, SIZE)), backbone)
    # beside these: mean and deviation of norms, attention's sum a query and head, its bias
    small = 4 * TOKENS + 2 * TOKENS + 2 * TOKENS / 49 + 2 * 49**2 * 2
    assert expected * TOKENS * 32 <= found <= expected * TOKENS * 32 + small


@pytest.mark.parametrize('name', BLOCKS)
def test_frozen_gradients_are_torchs(name):
    torch.manual_seed(0)
    backbone = MODELS.build(BLOCKS[name][0])
    backbone.eval()
    image = torch.randn(2, 3, 50, 62)

    def run(backbone):
        x = image.clone().requires_grad_()
        features = backbone(x)
        sum(f.square().mean() for f in features).backward()
        return [*(f.detach() for f in features), x.grad]

    fast = frozen(copy.deepcopy(backbone))
    for found, expected in zip(run(fast), run(backbone), strict=True):
        torch.testing.assert_close(found, expected)
    assert list(fast.state_dict()) == list(backbone.state_dict())


@pytest.mark.parametrize(
    'layer',
    [nn.Linear(8, 16), nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(8, 8, 3, groups=8, bias=False)],
    ids=['linear', 'strided', 'depthwise'],
)
def test_weights_are_cast_once_and_again_when_they_change(layer):
    layer = frozen(layer)
    before = layer.weight.clone()
    x = torch.randn(2, 8, 8, 8)
    with torch.autocast('cpu', torch.bfloat16):
        first, cast = layer(x), layer.cast(torch.bfloat16)[0]
        assert layer(x).dtype == first.dtype == torch.bfloat16
        assert layer.cast(torch.bfloat16)[0] is cast
        layer.load_state_dict({k: 2 * v for k, v in layer.state_dict().items()})
        torch.testing.assert_close(layer(x), 2 * first)
        other = copy.deepcopy(layer)
        for _ in range(layer.weight._version):  # a copy's versions begin at 0
            other.weight.zero_()
        zero = torch.zeros(1) if layer.bias is None else layer.bias.bfloat16().flatten()
        assert other(x).unique().tolist() == zero.unique().tolist()
    assert layer.weight.dtype == torch.float32
    assert torch.equal(layer.state_dict()['weight'], 2 * before)


def test_a_changed_bias_is_cast_anew():
    layer = frozen(nn.Linear(4, 4))
    with torch.autocast('cpu', torch.bfloat16):
        layer(torch.zeros(1, 4))
        layer.bias.fill_(3)
        assert layer(torch.zeros(1, 4)).tolist() == [[3.0] * 4]


class _Doubling(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    'layer',
    [
        nn.Conv2d(4, 4, 3, padding=1, padding_mode='reflect'),
        nn.Conv2d(4, 4, 3, padding='same'),
        _Doubling(4, 4, 3),
    ],
    ids=['other padding', 'named padding', 'other class'],
)
def test_layers_that_compute_something_else_go_on_to(layer):
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    expected = layer(x)
    gradient = torch.autograd.grad(expected.square().sum(), x)[0]
    layer = frozen(layer)
    found = layer(x)
    assert torch.equal(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), x)[0], gradient)
    assert not layer.weight.requires_grad


def test_a_frozen_norm_saves_half_under_autocast():
    layer = nn.LayerNorm(64)
    layer.weight.data.normal_()
    x = (3 + torch.randn(5, 64)).requires_grad_()
    weights = torch.randn(5, 64)
    expected = layer(x)
    gradient = torch.autograd.grad(expected, x, weights)[0]
    layer = frozen(layer)
    with torch.autocast('cpu', torch.bfloat16):
        saved = saved_by(lambda: layer(x))
        found = layer(x)
    assert [t.dtype for t in saved if t.shape == x.shape] == [torch.bfloat16]
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
    again = torch.autograd.grad(found, x, weights.bfloat16())[0]
    torch.testing.assert_close(again, gradient, rtol=2e-2, atol=2e-2)


def test_a_frozen_convolution_is_not_differentiated_by_its_weight():
    layer = frozen(nn.Conv2d(4, 4, 3))
    assert isinstance(layer, FrozenConv2d)
    x = torch.randn(1, 4, 9, 9, requires_grad=True)
    assert without_parameters(saved_by(lambda: layer(x)), layer) == 0
