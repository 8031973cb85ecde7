"""Anchors hold a model near the source model, with any method."""

import numpy as np
import pytest
import torch
from mmseg.registry import TRANSFORMS
from scipy.special import rel_entr, softmax

from mmseg_uvpt.methods.weight_copy import trained
from mmseg_uvpt.models.segmentors.adaptation import Views

SIZE = 64, 64


@pytest.fixture
def make(build):
    def make_anchored(anchor: dict, kind: str = 'SelfTraining', tuner: str = 'Head'):
        torch.manual_seed(0)
        changes = {'type': kind, 'tuner': {'type': tuner}, 'anchors': [anchor]}
        model = build('swin-nano_source', changes)
        torch.nn.init.normal_(model.decode_head.conv_seg.weight)
        model.begin_training()
        return model

    return make_anchored


def move(model) -> dict[str, torch.Tensor]:
    """Change all that is trained, as a step does; return it by name as it was."""
    before = {name: tensor.detach().clone() for name, tensor in trained(model)}
    with torch.no_grad():
        for _, tensor in trained(model):
            tensor.add_(1)
    return before


def test_two_losses_of_one_name_are_refused(make, labelled):
    model = make(dict(type='SourceConsistency')).train()
    model.anchors.append(model.anchors[0])
    labels = labelled(torch.zeros(1, *SIZE, dtype=torch.long))
    with pytest.raises(ValueError, match="SourceConsistency: another loss is called 'loss_s"):
        model.loss(torch.randn(1, 3, *SIZE), labels)


def test_pull_to_source_takes_a_share_of_the_way(make):
    model = make(dict(type='PullToSource', weight=0.25))
    before = move(model)
    model.after_iteration()
    for name, tensor in trained(model):
        by = 0.75 if isinstance(tensor, torch.nn.Parameter) else 1  # statistics stay the target's
        torch.testing.assert_close(tensor.detach(), before[name] + by, msg=name)
    backbone = [n for n, _ in trained(model) if n.startswith('backbone')]
    assert not backbone, 'what is frozen has no copy'


def test_restore_weights_restores_one_in_a_hundred(make):
    models = [make(dict(type='RestoreWeights')) for _ in range(2)]
    for model in models:
        before = move(model)
        torch.rand(np.random.default_rng().integers(5))  # processes draw different numbers
        model.iteration = 7
        model.after_iteration()
    changed = {name: (t != before[name]).flatten() for name, t in trained(models[0])}
    for (name, first), (_, second) in zip(*map(trained, models), strict=True):
        assert torch.equal(first, second), name
    numbers = torch.cat([changed[name] for name, t in trained(models[0]) if t.requires_grad])
    deviation = (0.01 * 0.99 / len(numbers)) ** 0.5
    assert 1 - numbers.double().mean().item() == pytest.approx(0.01, abs=4 * deviation)
    models[0].iteration = 8
    models[0].after_iteration()
    assert any(not torch.equal(a, b) for (_, a), (_, b) in zip(*map(trained, models), strict=True))


@pytest.mark.parametrize('unaugmented', [True, False])
def test_source_consistency_is_the_divergence_from_the_source(make, unaugmented):
    model = make(dict(type='SourceConsistency', weight=0.5)).train()
    images, clean = torch.randn(2, 2, 3, *SIZE)
    seen = clean if unaugmented else images
    with torch.no_grad():
        source = softmax(model.eval()._forward(seen).double().numpy(), axis=1)
    model.train()
    move(model)
    logits = torch.randn(2, 19, *SIZE, requires_grad=True)
    given = clean if unaugmented else None
    views = Views(0, images, given, None, None, [logits], [], [], model.scale_weights)
    losses = model.anchors[0].losses(model, views)
    found = softmax(logits.detach().double().numpy(), axis=1)
    source = torch.nn.functional.interpolate(
        torch.from_numpy(source).log(), SIZE, mode='bilinear', align_corners=True
    )
    expected = 0.5 * rel_entr(softmax(source.numpy(), axis=1), found).sum(1).mean()
    assert losses.keys() == {'loss_source_consistency'}
    assert losses['loss_source_consistency'].item() == pytest.approx(expected, rel=1e-4)
    losses['loss_source_consistency'].backward()
    assert logits.grad.any()
    assert model.training


def test_unaugmented_images_of_two_sizes(make, labelled):
    """They are cut as the augmented ones are, or padded where labels say what is padding."""
    model = make(dict(type='SourceConsistency'), 'MeanTeacher').train()
    sizes, samples = ((64, 48), (40, 64)), labelled(torch.zeros(2, *SIZE))
    for sample, size in zip(samples, sizes, strict=True):
        image = torch.full((3, *size), 7, dtype=torch.uint8)
        sample.set_metainfo({'unaugmented': image, 'img_shape': size})
    cut, padded = model._unaugmented(samples, 40, 48), model._unaugmented(samples, 64, 64)
    assert cut.shape == (2, 3, 40, 48)
    assert (cut == cut[:, :, :1, :1]).all()
    assert torch.equal(padded[:, :, :40, :48], cut)
    assert not padded[0, :, :, 48:].any()
    assert not padded[1, :, 40:].any()


def test_unaugmented_images_of_other_places_are_refused(make, labelled):
    """Kept before a crop, each pixel would be compared with another one."""
    model = make(dict(type='SourceConsistency'), 'MeanTeacher').train()
    samples = labelled(torch.zeros(1, *SIZE))
    image = torch.zeros(3, 100, 120, dtype=torch.uint8)
    samples[0].set_metainfo({'unaugmented': image, 'img_shape': SIZE})
    with pytest.raises(ValueError, match='KeepUnaugmented keeps images of other places'):
        model._unaugmented(samples, *SIZE)


def test_the_source_sees_the_images_that_a_mean_teacher_mixes(make, labelled, monkeypatch):
    model = make(dict(type='SourceConsistency'), 'MeanTeacher').train()
    images = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)
    samples = labelled(torch.zeros(2, *SIZE))
    for sample, image in zip(samples, images, strict=True):
        kept = TRANSFORMS.build({'type': 'KeepUnaugmented'})({'img': image})['unaugmented']
        sample.set_metainfo({'unaugmented': kept, 'img_shape': SIZE})
    clean = model._unaugmented(samples, *SIZE)
    seen = []
    monkeypatch.setattr(model.anchors[0], 'losses', lambda model, views: seen.append(views) or {})
    model.loss(clean + 1, samples)
    assert torch.allclose(seen[0].images, seen[0].unaugmented + 1, atol=1e-5)
    assert not torch.equal(seen[0].unaugmented, clean)


def test_a_mean_teacher_and_the_source_take_turns(make, labelled):
    """Each computes with its own weights, and neither leaves them in the model."""
    model = make(dict(type='SourceConsistency'), 'MeanTeacher').train()
    student = {name: t.clone() for name, t in model.state_dict().items() if 'running' not in name}
    losses = model.loss(torch.randn(2, 3, *SIZE), labelled(torch.zeros(2, *SIZE)))
    sum(v for n, v in losses.items() if 'loss' in n).backward()
    found = model.state_dict()
    assert all(
        torch.equal(found[n], t) for n, t in student.items() if not n.endswith('batches_tracked')
    )
    tensors = model.anchors[0].source.tensors()
    move(model)
    model.after_iteration()
    teacher = model.teacher.tensors()
    name = 'decode_head.conv_seg.weight'
    assert torch.equal(tensors[name], student[name])
    torch.testing.assert_close(teacher[name], student[name] + 1e-3, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ('kind', 'name', 'value'),
    [
        ('PullToSource', 'weight', 2),
        ('RestoreWeights', 'share', -1),
        ('SourceConsistency', 'weight', -1),
    ],
)
def test_shares_are_shares(make, kind, name, value):
    with pytest.raises(ValueError, match=f'{name}={value}: must be'):
        make({'type': kind, name: value})
