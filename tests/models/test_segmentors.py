"""What the adapted model trains, and what it hands to the label correction."""

import pytest
import torch
from mmseg.models.losses import accuracy
from torch.nn.functional import interpolate

PARTS = {
    'prompts': (
        'backbone.generator',
        'backbone.level_embedding',
        'backbone.adapters',
        'decode_head',
        'scale_weights',
    ),
    'head': ('decode_head', 'scale_weights'),
    'all': ('backbone', 'decode_head', 'scale_weights'),
}


@pytest.mark.parametrize('tune', PARTS)
def test_only_the_named_parts_change(tune, build, labelled):
    torch.manual_seed(0)
    model = build('swin-nano_uni-uvpt', {'tune': tune}).train()
    for adapter in model.backbone.adapters:
        adapter.injector.gamma.data.fill_(0.1)
    model.decode_head.conv_seg.weight.data.normal_()  # confident, so that the views compare
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    labels = torch.randint(0, 19, (2, 64, 64))
    losses = model.loss(torch.randn(2, 3, 64, 64), labelled(labels))
    model.parse_losses(losses)[0].backward()
    optimiser.step()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all(name.startswith(PARTS[tune]) for name in changed)
    for part in PARTS[tune]:
        assert any(name.startswith(part) for name in changed), part


def test_unknown_tune(build):
    with pytest.raises(ValueError, match="tune='prompt': must be one of prompts, head, all"):
        build('swin-nano_uni-uvpt', {'tune': 'prompt'})


@pytest.mark.parametrize(
    ('name', 'value'),
    [('norm_cfg', {'type': 'GN', 'num_groups': 4}), ('act_cfg', {'type': 'GELU'})],
)
def test_a_daformer_head_of_other_layers(name, value, build):
    with pytest.raises(ValueError, match=f"{name}=.*{value['type']}.*: DAFormerHead has '"):
        build('swin-nano_source', {'decode_head': {name: value}})
    build('swin-nano_source', {'decode_head': {'norm_cfg': {'type': 'BN', 'requires_grad': True}}})


@pytest.mark.parametrize('size', [(64, 64), (45, 77)])
def test_prediction_for_the_correction(size, build, labelled):
    torch.manual_seed(0)
    model = build('mit-nano_uni-uvpt').train()
    labels = torch.full((2, *size), 255)
    model.loss(torch.randn(2, 3, *size), labelled(labels))
    label, confidence = model.last_prediction
    assert label.shape == confidence.shape == (2, *size)
    assert label.dtype == torch.uint8
    assert not confidence.requires_grad
    assert confidence.min() >= 1 / 19
    assert confidence.max() <= 1 - 1e-3


def test_the_config_chooses_how_lovasz_is_computed(build, labelled):
    labels = torch.randint(0, 19, (1, 32, 32))
    losses = []
    for bins in (None, 4):
        torch.manual_seed(0)
        model = build('mit-nano_uni-uvpt', {'lovasz_bins': bins})
        model.decode_head.conv_seg.weight.data.normal_()
        losses.append(model.loss(torch.randn(1, 3, 32, 32), labelled(labels)))
    exact, found = (x['loss_self_training'] for x in losses)
    assert 0 < abs(found - exact) <= 1 / 4


@pytest.mark.parametrize('labelled_share', [0.7, 0])
def test_accuracy_is_that_of_mmseg(labelled_share, build, labelled):
    torch.manual_seed(0)
    model = build('mit-nano_uni-uvpt')
    logits = []
    model.decode_head.register_forward_hook(lambda *args: logits.append(args[-1]))
    labels = torch.randint(0, 19, (1, 32, 32))
    labels[torch.rand(labels.shape) >= labelled_share] = 255
    found = model.loss(torch.randn(1, 3, 32, 32), labelled(labels))['acc_seg']
    resized = interpolate(logits[0], size=(32, 32), mode='bilinear', align_corners=True)
    expected = accuracy(resized, labels, ignore_index=255) if labelled_share else 0
    assert found.item() == pytest.approx(float(expected))


def test_frozen_parts_run_in_train_mode(build):
    model = build('swin-nano_uni-uvpt').train()
    assert all(module.training for module in model.backbone.staged.modules())


@pytest.mark.parametrize(
    ('device', 'dtype'),
    [
        ('cpu', torch.bfloat16),
        pytest.param('cpu', torch.float16, marks=pytest.mark.slow),
        pytest.param('cuda', torch.bfloat16, marks=pytest.mark.gpu),
        pytest.param('cuda', torch.float16, marks=pytest.mark.gpu),
    ],
)
@pytest.mark.parametrize('name', ['swin-nano', pytest.param('mit-nano', marks=pytest.mark.slow)])
def test_mixed_precision_stays_close(name, device, dtype, build, labelled):
    torch.manual_seed(0)
    # a view of less than 64 x 64 meets a bug of torch
    model = build(f'{name}_uni-uvpt', {'view_scales': (1.0, 0.75)}).to(device).eval()
    for adapter in model.backbone.adapters:
        adapter.injector.gamma.data.fill_(0.1)
    image = torch.randn(1, 3, 96, 128, device=device)
    samples = [s.to(device) for s in labelled(torch.randint(0, 19, (1, 96, 128)))]
    # as training does; without it much of a gradient lies below the range of float16
    loss_scale = 2.0**16 if dtype == torch.float16 else 1.0

    def run():
        model.zero_grad()
        losses = model.loss(image, samples)
        (model.parse_losses(losses)[0] * loss_scale).backward()
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        return losses, {n: p.grad / loss_scale for n, p in trained}

    expected, gradients = run()
    with torch.autocast(device, dtype=dtype):
        found, other = run()
    for key, loss in found.items():
        if 'loss' in key:
            assert loss.dtype == torch.float32
            torch.testing.assert_close(loss, expected[key], rtol=2e-2, atol=1e-3)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(gradient.isfinite().all() for gradient in other.values())
    joint, plain = (torch.cat([g.flatten() for g in x.values()]) for x in (other, gradients))
    # seeds differ: up to 0.06 and 0.02
    assert (joint - plain).norm() < (0.03 if dtype == torch.float16 else 0.08) * plain.norm()


@pytest.mark.parametrize('name', ['swin-nano', 'mit-nano'])
def test_no_graph_before_the_first_prompt(name, build):
    model = build(f'{name}_uni-uvpt').train()
    tokens, size = model.backbone.staged.enter(0, torch.randn(1, 3, 64, 64))
    assert not tokens.requires_grad
    pyramid = model.backbone.generator(torch.randn(1, 3, 64, 64))
    assert model.backbone.adapters[0](tokens, size, pyramid)[0].requires_grad
