"""What every way of tuning promises, over the families of backbones that it fits."""

import copy

import pytest
import torch
from backbone_configs import NANO, OURS, PLAIN, WIDTHS, WINDOWS
from small_models import PROMPTS, SIZE, assert_same_step, make, step
from timm.layers import SimpleNorm2d
from torch import nn

from mmseg_uvpt.acceleration.accelerate import accelerate
from mmseg_uvpt.checkpoints.export import join, split
from mmseg_uvpt.checkpoints.loading import load_file, load_source_model
from mmseg_uvpt.engine.training.parameter_counts import parameter_counts
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.prompts.adapter import PromptAdapter
from mmseg_uvpt.models.tuners.rein import Refinement
from mmseg_uvpt.models.tuners.version_0_1 import as_written_now

VIT = dict(PLAIN, model='vit_tiny_patch16_224', img_size=64)
CNN = dict(type='TimmEfficientNet', model='tf_efficientnet_lite0')
BACKBONES = {'swin': OURS['swin'], 'mit': OURS['mit'], 'vit': VIT, 'cnn': CNN}
TUNERS = {
    'prompts': PROMPTS,
    'prompts-all': dict(PROMPTS, tune='all'),
    'single-scale': dict(PROMPTS, generator='single_scale'),
    'convolutions': dict(PROMPTS, generator='convolutions'),
    'learned': dict(PROMPTS, generator='learned'),
    'two-adapters': dict(PROMPTS, interactors=2),
    'head': dict(type='Head'),
    'all': dict(type='All'),
    'norm': dict(type='Norm'),
    'bias': dict(type='Bias'),
    'statistics': dict(type='Statistics'),
    'lora': dict(type='LoRA', rank=4),
    'adaptformer': dict(type='AdaptFormer', hidden=4),
    'rein': dict(type='Rein', tokens=5, rank=2),
    'tokens': dict(type='TokenPrompts', tokens=5),
    'tokens-shallow': dict(type='TokenPrompts', tokens=5, deep=False),
    'pixel-frame': dict(type='PixelPrompt', width=10, size=(64, 64)),
    'pixel-full': dict(type='PixelPrompt', kind='full', size=(32, 48)),
}
WHOLE = ('prompts-all', 'all')  # these tune the source model's backbone as a whole
NORMS = (nn.LayerNorm, nn.modules.batchnorm._BatchNorm)
WITHOUT = ('head', 'all', 'norm', 'bias', 'statistics')  # add no parameter
COMPUTED = ('relative_position_index', 'num_batches_tracked')  # always in the small file
STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')
NOT_FOR = {('cnn', tuner) for tuner in ('lora', 'adaptformer', 'tokens', 'tokens-shallow')}
FAST = {
    ('mit', 'tokens'),
    ('swin', 'adaptformer'),
    ('vit', 'rein'),
    ('mit', 'norm'),
}


@pytest.fixture(
    params=[
        pytest.param(
            (backbone, tuner),
            id=f'{backbone}-{tuner}',
            marks=() if (backbone, tuner) in FAST else pytest.mark.slow,
        )
        for backbone in BACKBONES
        for tuner in TUNERS
        if (backbone, tuner) not in NOT_FOR
    ]
)
def pair(request) -> tuple[str, str]:
    """Names of a backbone and a tuner."""
    if request.param[1] == 'lora':
        pytest.importorskip('peft')
    return request.param


@pytest.fixture
def batch(labelled):
    torch.manual_seed(1)
    return torch.randn(2, 3, *SIZE), labelled(torch.randint(0, 19, (2, *SIZE)))


def adapted(pair, begun: bool = True):
    return make(BACKBONES[pair[0]], TUNERS[pair[1]], begun)


def in_source(model, tuner: str) -> set[str]:
    """Return what a tuner may change of the source model's backbone."""
    staged = model.backbone.staged
    names = {name for name, _ in staged.named_parameters()}
    if tuner == 'norm':
        norms = [name for name, part in staged.named_modules() if isinstance(part, NORMS)]
        names = {name for name in names if name.rpartition('.')[0] in norms}
    elif tuner == 'bias':
        names = {name for name in names if name.endswith('bias')}
    elif tuner not in WHOLE:
        names = set()
    return {f'backbone.staged.{name}' for name in names}


def trained_once(model, batch) -> dict[str, torch.Tensor]:
    """Return the gradients of a step that it takes."""
    trained = [p for p in model.parameters() if p.requires_grad]
    _, gradients = step(model, batch)
    torch.optim.AdamW(trained, lr=1e-2).step()
    return gradients


def save(model, path) -> None:
    torch.save({'state_dict': model.state_dict()}, path)


def test_it_begins_at_the_source_model(pair, tmp_path):
    source = make(BACKBONES[pair[0]], tuner=None)
    save(source, tmp_path / 'source.pth')
    model = adapted(pair, begun=False)
    model.init_weights()  # as before each training
    nn.init.zeros_(model.decode_head.conv_seg.weight)
    load_source_model(model, tmp_path / 'source.pth')
    image = torch.randn(2, 3, 67, 93)
    with torch.no_grad():
        expected, found = (m.eval()(image, mode='tensor') for m in (source, model))
    difference = (found - expected).norm() / expected.norm()
    if hasattr(model.backbone, 'adapters'):  # gamma begins at 1e-6, as published
        assert difference < 1e-4
    elif pair[1].startswith('tokens'):  # see `TokenPrompts`; test_token_prompts.py has the rest
        assert 1e-3 < difference < 0.5
    else:
        assert torch.equal(found, expected)


def test_what_is_trained(pair, batch):
    model = adapted(pair)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = trained_once(model, batch)
    assert gradients.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    changed = {
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    tuned = {n for n in changed if n.rpartition('.')[2] not in STATISTICS}
    assert {n for n in tuned if n.startswith('backbone.staged.')} == in_source(model, pair[1])
    assert any(n.startswith('decode_head.') for n in tuned) == (pair[1] != 'statistics')
    assert {'decode_head.fuse_layer.bottleneck.bn.running_mean', 'scale_weights'} <= changed
    counts = parameter_counts(model)
    assert counts.prompts == sum(
        parameter.numel()
        for name, parameter in model.backbone.named_parameters()
        if not name.startswith('staged.') or '.lora_' in name
    )
    assert bool(counts.prompts) == (pair[1] not in WITHOUT)
    assert counts.trainable == sum(gradient.numel() for gradient in gradients.values())


def is_added(name: str) -> bool:
    return name.startswith('backbone.') and not name.startswith('backbone.staged.')


def test_accelerated_it_has_the_same_numbers(pair, batch):
    plain = adapted(pair)
    fast = copy.deepcopy(plain)
    accelerate(fast, low_memory=True)
    assert_same_step(plain, fast, batch)


def test_its_small_file_holds_only_what_it_changed(pair, batch, tmp_path):
    source = make(BACKBONES[pair[0]], tuner=None)
    save(source, tmp_path / 'source.pth')
    model = adapted(pair)
    load_source_model(model, tmp_path / 'source.pth')
    trained_once(model, batch)
    save(model, tmp_path / 'adapted.pth')
    if pair[1] in WHOLE:
        with pytest.raises(UserError, match='tuned as a whole'):
            split(tmp_path / 'adapted.pth', tmp_path / 'source.pth')
        return
    small = split(tmp_path / 'adapted.pth', tmp_path / 'source.pth')
    torch.save(small, tmp_path / 'small.pth')
    weights = {n for n in small['state_dict'] if n.rpartition('.')[2] not in COMPUTED}
    fixed = {n for n, p in model.named_parameters() if not p.requires_grad and not is_added(n)}
    assert not weights & fixed
    whole = join(tmp_path / 'small.pth', tmp_path / 'source.pth')['state_dict']
    assert list(whole) == list(model.state_dict())
    assert all(torch.equal(whole[n], tensor) for n, tensor in model.state_dict().items())


def test_a_step_more_after_a_checkpoint_is_the_same(pair, batch, tmp_path):
    """All of a tuner's state lies in the checkpoint."""
    model = adapted(pair)
    trained_once(model, batch)
    save(model, tmp_path / 'iter_1.pth')
    other = adapted(pair, begun=False)
    other.load_state_dict(load_file(tmp_path / 'iter_1.pth')['state_dict'])
    model.zero_grad()
    (loss, gradients), (same, others) = step(model, batch), step(other, batch)
    assert torch.equal(loss, same)
    assert all(torch.equal(gradient, others[name]) for name, gradient in gradients.items())


@pytest.mark.slow
def test_it_compiles_without_a_break(pair):
    backbone = adapted(pair).backbone.eval()
    image = torch.randn(2, 3, *SIZE)
    compiled = torch.compile(backbone, backend='eager', fullgraph=True)
    with torch.no_grad():
        for expected, found in zip(backbone(image), compiled(image), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ('old', 'tune'), [({}, 'prompts'), ({'tune': 'head'}, 'head'), ({'tune': 'all'}, 'all')]
)
def test_configs_of_version_0_1(old, tune):
    staged = OURS['mit']
    prompted = dict(type='PromptedBackbone', staged=staged, heads=2, generator_channels=8)
    before = dict(type='UniUVPT', backbone=prompted, **old)
    now = as_written_now(before)
    assert now['backbone'] == staged
    assert now['tuner'] == {'type': 'Prompts', 'heads': 2, 'generator_channels': 8, **old}
    assert as_written_now(now) == now
    assert before['backbone'] == prompted


def test_a_config_of_version_0_1_that_inherits_from_one_of_now():
    base = dict(backbone=dict(OURS['mit']), tuner=dict(type='Prompts', points=4))
    merged = {**base, 'backbone': {**OURS['mit'], 'heads': 2, 'staged': {'depths': (2,) * 4}}}
    now = as_written_now(merged)
    assert now['backbone'] == {**OURS['mit'], 'depths': (2,) * 4}
    assert now['tuner'] == {'type': 'Prompts', 'points': 4, 'heads': 2}
    merged['backbone']['staged'] = {'_delete_': True, 'type': 'TimmConvNeXt'}
    assert as_written_now(merged)['backbone'] == {'type': 'TimmConvNeXt'}
    merged['backbone']['staged'] = {'type': 'StagedMiT', 'init_cfg': {'checkpoint': 'y'}}
    merged['backbone']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': 'x'}
    assert as_written_now(merged)['backbone'] == {
        **OURS['mit'],
        'init_cfg': {'type': 'Pretrained', 'checkpoint': 'y'},
    }
    with pytest.raises(ValueError, match='names no type of its staged backbone'):
        as_written_now(
            dict(base, backbone={**OURS['mit'], 'type': 'PromptedBackbone'}, tune='head')
        )
    theirs = dict(backbone=dict(type='StagedHiera', heads=3), tuner=dict(type='Head'))
    assert as_written_now(theirs) == theirs


RESNET = dict(type='ResNet', depth=18, norm_cfg=dict(type='BN'), norm_eval=False)


@pytest.mark.parametrize('tuner', ['Head', 'All', 'Norm', 'Bias', 'Statistics', 'PixelPrompt'])
def test_any_backbone_of_mmseg_can_be_tuned_so(tuner, batch):
    model = make(RESNET, dict(type=tuner))
    before = copy.deepcopy(model.backbone.state_dict())
    trained_once(model, batch)
    changed = {n for n, x in model.backbone.state_dict().items() if not torch.equal(x, before[n])}
    if tuner in ('Head', 'Statistics'):
        assert not changed
    elif tuner == 'PixelPrompt':
        assert changed == {'rows', 'columns'}
    else:
        assert {n for n in changed if n.rpartition('.')[2] not in STATISTICS}


def test_tuners_that_do_not_fit_a_backbone():
    with pytest.raises(ValueError, match='InvertedResidual has no linear feed-forward layer'):
        make(CNN, TUNERS['adaptformer'])
    pytest.importorskip('peft')
    with pytest.raises(ValueError, match=r'no linear layer called qkv or .* such as \(fc1,fc2\)'):
        make(CNN, TUNERS['lora'])


def test_what_cannot_be_prompted_says_what_can_be_done():
    with pytest.raises(ValueError, match=r"ResNet is none: tuner=dict\(type='Head'\) tunes"):
        make(RESNET, PROMPTS)
    with pytest.raises(ValueError, match="generator='none': must be one of pyramid, single_scale"):
        make(OURS['mit'], dict(PROMPTS, generator='none'))
    with pytest.raises(ValueError, match=r'interactors=5: must be None or 1\.\.4'):
        make(OURS['mit'], dict(PROMPTS, interactors=5))


@pytest.mark.parametrize(
    ('tuner', 'name'),
    [
        *(('Prompts', 'points'), ('Rein', 'tokens'), ('Rein', 'rank')),
        ('AdaptFormer', 'hidden'),
    ],
)
@pytest.mark.parametrize('number', [0, 2.0])
def test_numbers_of_tuners_that_cannot_be(tuner, name, number):
    with pytest.raises(ValueError, match=f'{name}={number}: must be a whole number above 0'):
        make(OURS['mit'], {'type': tuner, name: number})


@pytest.mark.parametrize(
    'staged',
    [
        dict(
            type='TimmSwin', model='swin_tiny_patch4_window7_224', patch_size=2, **WINDOWS, **NANO
        ),
        dict(type='TimmConvNeXt', model='convnext_atto', output_stride=16, dims=WIDTHS, **NANO),
    ],
)
def test_prompts_follow_the_strides_that_a_backbone_has(staged, monkeypatch):
    """The pyramid is 2, 1 and 0.5 times the map of a stage."""
    seen = []
    adapt = PromptAdapter.forward

    def forward(self, tokens, size, pyramid, *args, **kwargs):
        seen.append((size, [tuple(level.shape[2:]) for level in pyramid]))
        return adapt(self, tokens, size, pyramid, *args, **kwargs)

    monkeypatch.setattr(PromptAdapter, 'forward', forward)
    make(staged).backbone(torch.randn(1, 3, *SIZE))
    for (height, width), levels in seen:
        expected = [(2 * height, 2 * width), (height, width), (height // 2, width // 2)]
        assert levels == expected


def test_norms_of_all_kinds_are_tuned():
    staged = dict(type='TimmConvNeXt', model='convnext_zepto_rms', dims=WIDTHS, **NANO)
    model = make(staged, dict(type='Norm'))
    norms = [m for m in model.backbone.staged.modules() if isinstance(m, SimpleNorm2d)]
    assert len(norms) > 4
    assert all(norm.weight.requires_grad for norm in norms)


def test_a_refinement_is_that_of_the_paper():
    """Rein (CVPR 2024), equations 3 to 6, feature by feature."""
    torch.manual_seed(0)
    refinement = Refinement(2, 8, 5, 3)
    nn.init.normal_(refinement.of_features.weight)
    features = torch.randn(2, 7, 8)
    tokens = refinement.left[1] @ refinement.right[1]
    for image in range(2):
        for feature in range(7):
            f = features[image, feature]
            likeness = torch.exp(tokens @ f / 8**0.5)
            likeness = likeness / likeness.sum()
            mixed = sum(likeness[i] * refinement.of_tokens(tokens[i]) for i in range(1, 5))
            expected = f + refinement.of_features(f + mixed)
            found = refinement.refined(features, 1)[image, feature]
            torch.testing.assert_close(found, expected)


def test_the_matrices_of_lora_count_by_alpha():
    pytest.importorskip('peft')
    model = make(OURS['mit'], dict(type='LoRA', rank=4, alpha=12))
    scales = {m.scaling['default'] for m in model.modules() if hasattr(m, 'lora_A')}
    assert scales == {12 / 4}


def test_a_single_scale_trains_what_it_uses(batch):
    model = make(OURS['mit'], dict(PROMPTS, generator='single_scale'))
    model.loss(*batch)['loss_self_training'].backward()
    trained = {n for n, p in model.backbone.generator.named_parameters() if p.requires_grad}
    used = {n for n, p in model.backbone.generator.named_parameters() if p.grad is not None}
    assert trained == used
