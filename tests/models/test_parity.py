"""The full-size models give the numbers of the published implementation."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from mmseg_uvpt.checkpoints.names import to_released
from mmseg_uvpt.ops import backends

# relative L2 error in float32 (parity/README.md)
MAPS = {'cpu': 1e-5, 'cuda': 1e-4}
GRADIENTS = {'cpu': 1e-4, 'cuda': 1e-3}
DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]
LOSSES = {
    'loss_self_training': 'loss_GtA_selftraining_losss',
    'loss_prediction_consistency': 'consistency_loss',
    'acc_seg': 'acc_seg',
    **{f'loss_prompt_consistency_{i}': f'prompt_consistency_loss_{i}' for i in range(4)},
}
BACKBONES = [('swin', 'swin-b'), ('mit', 'mit-b5')]


def relative(found, expected) -> float:
    if isinstance(found, torch.Tensor):
        found = found.detach().cpu()
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def released_shapes(path) -> dict[str, tuple[int, ...]]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return {name: tuple(int(n) for n in shape.split('x')) for name, shape in lines}


def released_weights(path, module) -> dict[str, torch.Tensor]:
    """Make a released checkpoint's state dict from its names."""
    return {
        name: torch.from_numpy(np.asarray(module.tensor_for(name, shape)))
        for name, shape in released_shapes(path).items()
        if not name.endswith('relative_position_index')
    }


@pytest.fixture(scope='module', autouse=True)
def _full_precision():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture(scope='module', params=DEVICES)
def device(request) -> str:
    return request.param


@pytest.fixture(params=['what serves', pytest.param('reference', marks=pytest.mark.slow)])
def attention(request):
    """Deformable attention by what serves the device, compiled where it was built, or plain."""
    with backends.forced('reference' if request.param == 'reference' else None):
        yield


@pytest.fixture(scope='module', params=BACKBONES, ids=lambda p: p[1])
def adapted(request, device, build, shared_parity, parity_weights):
    short, name = request.param
    model = build(f'{name}_uni-uvpt').eval().to(device)
    keys = shared_parity / f'keys_{short}.txt'
    model.load_state_dict(released_weights(keys, parity_weights), strict=False)
    return model, np.load(shared_parity / f'{short}_prompt_64x64.npz'), keys


@pytest.mark.parametrize(('short', 'name'), BACKBONES)
def test_source_model(short, name, device, build, shared_parity, parity_weights):
    model = build(f'{name}_source').eval().to(device)
    keys = shared_parity / f'keys_{short}_source.txt'
    model.load_state_dict(released_weights(keys, parity_weights), strict=False)
    expected = np.load(shared_parity / f'{short}_source_64x64.npz')
    with torch.no_grad():
        image = torch.from_numpy(parity_weights.image(64, 64)).to(device)
        features = model.backbone(image)
        logits = model.decode_head(features)
        resized = model.predict(image)[0].seg_logits.data[None]
    for i, feature in enumerate(features):
        assert relative(feature, expected[f'feature{i}']) < MAPS[device]
    assert relative(logits, expected['logits']) < MAPS[device]
    assert relative(resized[:, :, ::4, ::4], expected['seg_logits']) < MAPS[device]


@pytest.mark.usefixtures('attention')
def test_adapted_model(adapted, device, parity_weights):
    model, expected, _ = adapted
    with torch.no_grad():
        image = torch.from_numpy(parity_weights.image(64, 64)).to(device)
        features, prompts = model.backbone.features_and_prompts(image)
        logits = model.decode_head(features)
        resized = model.predict(image)[0].seg_logits.data[None]
    for i, (feature, prompt) in enumerate(zip(features, prompts, strict=True)):
        assert relative(feature, expected[f'feature{i}']) < MAPS[device]
        assert relative(prompt, expected[f'prompt{i}']) < MAPS[device]
    assert relative(logits, expected['logits']) < MAPS[device]
    assert relative(resized[:, :, ::4, ::4], expected['seg_logits']) < MAPS[device]


@pytest.mark.parametrize(
    'adapted',
    BACKBONES,
    indirect=True,
    ids=lambda p: p[1],
)
@pytest.mark.slow  # test_golden_curves.py trains in every run
@pytest.mark.usefixtures('attention')
def test_training(adapted, device, labelled, parity_weights):
    model, expected, _ = adapted
    label = np.kron(np.random.default_rng(1).integers(0, 19, (1, 16, 16)), np.ones((1, 8, 8)))
    label[:, :4] = 255
    model.zero_grad()
    image = torch.from_numpy(parity_weights.image(128, 128)).to(device)
    losses = model.loss(image, [sample.to(device) for sample in labelled(label)])
    assert set(losses) == set(LOSSES)
    for ours, theirs in LOSSES.items():
        assert relative(losses[ours].detach(), expected[f'train.{theirs}']) < MAPS[device], ours
    total = model.parse_losses(losses)[0]
    assert relative(total.detach(), expected['train.total']) < MAPS[device]
    differs = model.last_prediction.label.cpu().numpy() != expected['prev_pred']
    if device == 'cpu':
        assert not differs.any()
    else:  # only where two classes are all but equally likely
        assert differs.mean() < 1e-3
        assert (expected['max_prob'][differs] <= 0.5001).all()
    assert relative(model.last_prediction.confidence, expected['max_prob']) < MAPS[device]

    total.backward()
    squares: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            parts = next(iter(to_released({name: parameter}))).split('.')
            group = '.'.join(parts[: 4 if parts[1:2] == ['interactions'] else 2])
            squares[group] = squares.get(group, 0) + float(parameter.grad.double().pow(2).sum())
    groups = {key.removeprefix('grad.') for key in expected.files if key.startswith('grad.')}
    assert set(squares) == groups
    for group, square in squares.items():
        assert relative(square**0.5, expected[f'grad.{group}']) < GRADIENTS[device], group


def test_names_and_shapes_go_back(adapted):
    model, _, keys = adapted
    found = {name: tuple(t.shape) or (1,) for name, t in to_released(model.state_dict()).items()}
    assert found == released_shapes(keys)


def test_parameter_counts(adapted):
    model, _, keys = adapted
    counts = {name: p.numel() / 1e6 for name, p in model.named_parameters()}
    head = sum(n for name, n in counts.items() if name.startswith('decode_head.'))
    staged = sum(n for name, n in counts.items() if name.startswith('backbone.staged.'))
    total = sum(counts.values())
    expected = {'keys_swin': (115.35, 24.67, 3.94), 'keys_mit': (93.74, 8.59, 3.71)}
    assert tuple(round(n, 2) for n in (total, total - head - staged, head)) == expected[keys.stem]


def test_logits_are_resized_as_the_fixture_and_not_the_other_way(adapted):
    """The fixture's README says align_corners=True for ``seg_logits``; its numbers say False."""
    _, expected, _ = adapted
    logits = torch.from_numpy(expected['logits'])
    errors = [
        relative(
            interpolate(logits, size=(64, 64), mode='bilinear', align_corners=corners)[
                ..., ::4, ::4
            ],
            expected['seg_logits'],
        )
        for corners in (False, True)
    ]
    assert errors[0] < MAPS['cpu']
    assert errors[1] > 0.1
