"""Tent and information maximisation: their losses, what they tune, and where they begin."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import nn

from mmseg_uvpt.models.segmentors.adaptation import Views

SIZE = 64, 64
NORMS = (nn.LayerNorm, nn.modules.batchnorm._BatchNorm)


@pytest.fixture
def make(build):
    def make_method(name: str, backbone: str = 'swin-nano', **arguments):
        torch.manual_seed(0)
        model = build(f'{backbone}_source', {'type': name, **arguments})
        nn.init.normal_(model.decode_head.conv_seg.weight)
        return model

    return make_method


def views_of(logits: torch.Tensor) -> Views:
    nothing = torch.zeros(1)
    return Views(0, nothing, None, None, None, [logits], [], [], nothing)


@pytest.fixture
def logits() -> torch.Tensor:
    """Of two images; some classes are as good as impossible."""
    torch.manual_seed(1)
    logits = 5 * torch.randn(2, 19, 4, 6)
    logits[:, 3] = -200
    return logits.requires_grad_()


def test_tent_minimises_the_mean_entropy(make, logits):
    losses = make('Tent').loss_by_views(views_of(logits))
    probabilities = logits.detach().double().softmax(1).numpy()
    expected = entropy(probabilities, axis=1).mean()
    assert list(losses) == ['loss_entropy']
    torch.testing.assert_close(losses['loss_entropy'].item(), expected, rtol=1e-5, atol=0)


def test_information_maximisation_is_mutual_information(make, logits):
    """The mean KL of each prediction to the mean of all, which the two terms add up to."""
    losses = make('InformationMaximisation').loss_by_views(views_of(logits))
    rows = logits.detach().double().softmax(1).movedim(1, -1).reshape(-1, 19).numpy()
    expected = -np.mean([entropy(row, rows.mean(0)) for row in rows])
    found = sum(losses.values())
    assert found.item() == pytest.approx(expected, abs=2e-4)  # of the floor
    found.backward()
    assert logits.grad.isfinite().all()


def test_a_class_that_vanished_is_asked_for(make):
    """As much as by SHOT's formula, m log(m + 1e-5), though its mean m is below that floor."""
    logits = torch.zeros(1, 19, 4, 6)
    logits[:, 3] = -14
    logits.requires_grad_()
    make('InformationMaximisation').loss_by_views(views_of(logits))['loss_diversity'].backward()
    mean = (same := logits.detach().clone().requires_grad_()).softmax(1).mean((0, 2, 3))
    assert mean[3] < 1e-6
    (mean * (mean + 1e-5).log()).sum().backward()
    torch.testing.assert_close(logits.grad, same.grad)
    assert logits.grad[:, 3].max() < -1e-9


@pytest.mark.parametrize('name', ['Tent', 'InformationMaximisation', 'MeanTeacher'])
def test_padding_is_not_learnt_of(make, labelled, name):
    """Images of two sizes, in a batch: what is padded to make them equal does not matter."""
    more = {'mask_ratio': 0, 'mix': False} if name == 'MeanTeacher' else {}
    found = []
    for padding in (0.0, 9.0):
        model = make(name, **more)
        model.begin_training()
        torch.manual_seed(1)
        images, samples = torch.randn(2, 3, *SIZE), labelled(torch.zeros(2, *SIZE))
        images[0, :, 48:] = images[1, :, :, 32:] = padding
        for sample, size in zip(samples, ((48, 64), (64, 32)), strict=True):
            sample.set_metainfo({'img_shape': size})
        torch.manual_seed(2)
        losses = model.eval().loss(images, samples)
        found.append(sum(loss for key, loss in losses.items() if 'loss' in key).item())
    assert found[0] == found[1]


def step(model, labelled) -> set[str]:
    """Return the names of the parameters that a step of descent changes."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.manual_seed(2)
    losses = model.train().loss(torch.randn(2, 3, *SIZE), labelled(torch.zeros(2, *SIZE)))
    sum(losses.values()).backward()
    torch.optim.SGD(model.parameters(), lr=10.0).step()
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize('backbone', ['swin-nano', 'efficientnet-lite0'])
def test_tent_changes_norms_alone(make, labelled, backbone):
    model = make('Tent', backbone)
    norms = {
        f'{prefix}.{name}'
        for prefix, module in model.named_modules()
        if isinstance(module, NORMS)
        for name, _ in module.named_parameters(recurse=False)
    }
    tuned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert tuned == norms
    assert any(name.startswith('decode_head') for name in norms)
    statistics = {n: b.clone() for n, b in model.named_buffers() if n.endswith('running_mean')}
    changed = step(model, labelled)
    assert changed <= norms
    assert len(changed) > 0.9 * len(norms)
    assert all(not torch.equal(model.get_buffer(n), b) for n, b in statistics.items())


def test_information_maximisation_keeps_the_classifier(make, labelled):
    model = make('InformationMaximisation')
    classifier = {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == classifier | {'scale_weights'}
    changed = step(model, labelled)
    assert not changed & classifier
    assert {name.split('.')[0] for name in changed} == {'backbone', 'decode_head'}


@pytest.mark.parametrize('name', ['Tent', 'InformationMaximisation'])
def test_it_begins_at_the_source_model(make, name):
    model, source = make(name), make('SourceSegmentor')
    weights = {
        n.replace('backbone.', 'backbone.staged.'): t for n, t in source.state_dict().items()
    }
    model.load_state_dict({**model.state_dict(), **weights})
    model.begin_training()
    image = torch.randn(1, 3, *SIZE)
    assert torch.equal(model.eval()(image), source.eval()(image))
