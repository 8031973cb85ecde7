"""Methods beside Uni-UVPT: their losses by other computations, what they leave alone, and resuming.

`tests/engine/test_method_runs.py` trains each of them through train.py.
"""

import inspect

import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.correction.offline import OfflineLabelCorrectionHook
from mmseg_uvpt.methods.anchors import PullToSource, RestoreWeights
from mmseg_uvpt.methods.class_mix import class_mix
from mmseg_uvpt.methods.early_learning import EarlyLearning
from mmseg_uvpt.methods.masking import mask_patches
from mmseg_uvpt.methods.mean_teacher import MeanTeacher
from mmseg_uvpt.methods.self_training import cross_entropy
from mmseg_uvpt.methods.weight_copy import WeightCopy, trained
from mmseg_uvpt.models.losses.entropy import entropy_regulariser
from mmseg_uvpt.models.segmentors.adaptation import Batch, Views
from mmseg_uvpt.ops.resizing import resized

SMALL = dict(view_scales=(1.0,))
STATISTICS = dict(_delete_=True, type='Statistics')


@pytest.mark.parametrize(
    ('part', 'defaults'),
    [
        (MeanTeacher, {'momentum': 0.999, 'mix': True, 'mask_patch': 64, 'mask_ratio': 0.7}),
        (PullToSource, {'weight': 0.01}),
        (RestoreWeights, {'share': 0.01}),
        (EarlyLearning, {'weight': 3.0, 'momentum': 0.7}),
        (OfflineLabelCorrectionHook, {'slope_change': 0.9, 'confidence': 0.8}),
        (LabelCorrectionHook, {'interval': 200, 'queue_length': 1000, 'slope': 0.95}),
    ],
    ids=lambda part: getattr(part, '__name__', ''),
)
def test_defaults_are_the_published_ones(part, defaults):
    stated = inspect.signature(part).parameters
    assert {name: stated[name].default for name in defaults} == defaults


def test_cross_entropy_is_the_mean_over_labelled_pixels():
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 4, 5, 6))
    labels = random.choice([0, 1, 3, 255], (2, 5, 6))
    weights = random.uniform(size=(2, 5, 6))
    expected, count = [0.0, 0.0], 0
    for b, y, x in np.ndindex(labels.shape):
        if labels[b, y, x] != 255:
            share = np.exp(logits[b, :, y, x]) / np.exp(logits[b, :, y, x]).sum()
            loss = -np.log(share[labels[b, y, x]])
            expected = [expected[0] + loss, expected[1] + loss * weights[b, y, x]]
            count += 1
    given = torch.tensor(logits), torch.tensor(labels)
    assert cross_entropy(*given).item() == pytest.approx(expected[0] / count)
    found = cross_entropy(*given, torch.tensor(weights)).item()
    assert found == pytest.approx(expected[1] / count)
    assert cross_entropy(given[0], torch.full_like(given[1], 255)) == 0


def test_class_mix_pastes_half_of_the_classes_of_the_image_before():
    torch.manual_seed(0)
    images = torch.arange(2).view(2, 1, 1, 1).expand(2, 3, 8, 8).float()
    labels = torch.randint(4, (2, 8, 8)) + 4 * torch.arange(2).view(2, 1, 1)  # no class in both
    weights = labels / 10
    mixed, mixed_labels, mixed_weights = class_mix(labels, images, labels, weights)
    for own, other in ((0, 1), (1, 0)):
        pasted = mixed_labels[own] // 4 == other
        assert len(mixed_labels[own][pasted].unique()) == 2  # of four
        assert torch.equal(mixed_labels[own][pasted], labels[other][pasted])
        assert torch.equal(mixed_labels[own][~pasted], labels[own][~pasted])
        assert torch.equal(mixed[own, 0], torch.where(pasted, other, own).float())
        assert torch.equal(mixed_weights[own], mixed_labels[own] / 10)
    assert torch.equal(class_mix(labels[:1], images[:1])[0], images[:1])


def test_masked_patches_are_whole_squares():
    torch.manual_seed(0)
    masked = mask_patches(torch.ones(3, 3, 70, 100), 16, 0.7)
    squares = [
        masked[b, :, y : y + 16, x : x + 16]
        for b in range(3)
        for y in range(0, 70, 16)
        for x in range(0, 100, 16)
    ]
    assert all(square.unique().numel() == 1 for square in squares)
    share = np.mean([square.max() == 0 for square in squares])
    assert 0.6 < share < 0.8
    assert torch.equal(mask_patches(masked, 16, 0.0), masked)


@pytest.fixture
def teacher(build):
    model = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', 'momentum': 0.75, **SMALL})
    model.begin_training()
    return model.train()


def test_a_copy_holds_what_is_trained(teacher):
    names = {name for name, _ in trained(teacher)}
    assert names == teacher.teacher.tensors().keys()
    gradients = {n for n, p in teacher.named_parameters() if p.requires_grad}
    assert gradients <= names
    assert not any(name.startswith('backbone.staged.') for name in names)
    assert any(name.endswith('running_var') for name in names - gradients)
    everything = build_all(teacher)
    assert {n for n, _ in trained(everything)} > names


def build_all(model):
    model.backbone.staged.requires_grad_(True)
    return model


def test_the_teacher_is_a_moving_average_of_weights_and_buffers(teacher):
    before = {n: t.clone() for n, t in trained(teacher)}
    with torch.no_grad():
        for tensor in dict(trained(teacher)).values():
            tensor.add_(1)
    teacher.after_iteration()
    for name, copy in teacher.teacher.tensors().items():
        if copy.is_floating_point():
            torch.testing.assert_close(copy, before[name] + 0.25)
        else:
            assert torch.equal(copy, before[name] + 1)


def test_the_teacher_predicts_and_is_what_files_hold(teacher, build):
    image = torch.randn(1, 3, 32, 32)

    def predict(model):
        with torch.no_grad():
            return model.eval()(image, mode='tensor')

    source = predict(teacher)
    with torch.no_grad():
        teacher.decode_head.conv_seg.bias.add_(torch.arange(19.0))
    assert torch.equal(predict(teacher), source)
    sample = SegDataSample(metainfo={'ori_shape': (32, 32), 'img_shape': (32, 32)})
    with torch.no_grad():
        found = teacher.test_step({'inputs': [image[0]], 'data_samples': [sample]})[0]
    normed = teacher.data_preprocessor({'inputs': [image[0]], 'data_samples': [sample]})['inputs']
    with torch.no_grad(), teacher.teacher.in_place_of_weights(teacher):
        expected = teacher.encode_decode(normed, [sample.metainfo])
    assert torch.equal(found.pred_sem_seg.data, expected.argmax(1))
    files = {**teacher.state_dict(), **teacher.weights_to_predict_with()}
    plain = build('mit-nano_uni-uvpt', SMALL)
    plain.load_state_dict(files)
    assert torch.equal(predict(plain), source)
    untrained = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', **SMALL})
    untrained.load_state_dict(files)
    assert torch.equal(predict(untrained), source)


def test_files_hold_the_teacher_by_the_names_that_a_tuner_gives(build):
    pytest.importorskip('peft')
    tuner = {'type': 'LoRA', 'rank': 2}
    student = build('swin-nano_source', {'type': 'MeanTeacher', 'tuner': tuner, **SMALL})
    student.begin_training()
    with torch.no_grad():
        for _, tensor in trained(student):
            tensor.add_(1)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    predicts = student.weights_to_predict_with()
    lora = [name for name in predicts if name.startswith('backbone.lora.')]
    assert len(lora) == 16  # two matrices in each block of attention
    for name, tensor in predicts.items():
        torch.testing.assert_close(tensor, before[name] - 1, msg=name)
    assert student.decode_head.conv_seg.weight.data_ptr() != predicts[lora[0]].data_ptr()


def test_a_model_computes_with_copies_and_gets_its_own_weights_back(teacher):
    other = WeightCopy()
    with torch.no_grad():
        teacher.decode_head.conv_seg.bias.fill_(7)
    other.take(teacher)
    own = dict(teacher.named_parameters())
    with torch.no_grad():
        teacher.decode_head.conv_seg.bias.fill_(1)
    with other.in_place_of_weights(teacher) as model:
        assert model is teacher
        assert not model.training
        assert model.decode_head.conv_seg.bias.unique().tolist() == [7]
    assert teacher.training
    assert all(own[n] is p for n, p in teacher.named_parameters())
    assert teacher.decode_head.conv_seg.bias.unique().tolist() == [1]


def test_the_student_learns_what_the_teacher_sees(build, labelled):
    """Without mixing and masks it is the cross entropy with the teacher's labels."""
    torch.manual_seed(0)
    changes = {'type': 'MeanTeacher', 'mix': False, 'mask_ratio': 0, **SMALL}
    model = build('mit-nano_uni-uvpt', changes)
    nn.init.normal_(model.decode_head.conv_seg.weight)
    model.begin_training()
    images = torch.randn(2, 3, 32, 32)
    losses = model.train().loss(images, labelled(torch.zeros(2, 32, 32)))
    logits = model.eval()(images, mode='tensor')
    logits = nn.functional.interpolate(logits, (32, 32), mode='bilinear')
    confidence, label = logits.softmax(1).max(1)
    seen = model.train().run_view(images, 1).logits
    seen = nn.functional.interpolate(seen, (32, 32), mode='bilinear', align_corners=True)
    chosen = seen.log_softmax(1).gather(1, label[:, None])[:, 0]
    expected = -(chosen * confidence).mean()
    torch.testing.assert_close(losses['loss_teacher'], expected, rtol=1e-4, atol=1e-5)
    losses['loss_teacher'].backward()
    assert model.decode_head.conv_seg.weight.grad.any()
    assert not any(t.requires_grad for t in model.teacher.tensors().values())


def taught(build, monkeypatch, **changes):
    """Return a mean teacher whose teacher is as sure of a class as the class's number says."""
    model = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', 'mask_ratio': 0, **SMALL, **changes})
    model.begin_training()
    classes = torch.randint(3, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    sure = 0.5 + 0.1 * classes
    others = ((1 - sure) / 18).unsqueeze(1).expand(-1, 19, -1, -1).clone()
    probabilities = others.scatter(1, classes[:, None], sure[:, None])
    monkeypatch.setattr(model, 'ask_teacher', lambda _: probabilities)
    return model, probabilities, classes


@pytest.mark.parametrize('labels', ['confidence', 'soft', 'class_quantile'])
@pytest.mark.parametrize('mix', [False, True])
def test_what_a_student_is_given_to_learn(build, monkeypatch, labels, mix):
    """Where images are mixed, labels and weights of their pixels go with them."""
    model, _, classes = taught(build, monkeypatch, labels=labels, mix=mix)
    images = classes[:, None].expand(-1, 3, -1, -1).float()
    given = model.prepare(Batch(images, None, None))
    shown = given.images[:, 0].long()
    assert torch.equal(shown, classes) != mix
    if labels == 'soft':
        assert torch.equal(given.labels.argmax(1), shown)
        assert torch.equal(given.labels.max(1).values, 0.5 + 0.1 * shown)
        assert given.weights.unique().tolist() == [1]
    else:
        assert torch.equal(given.labels, shown)
        weights = torch.ones(2, 16, 16) if labels == 'class_quantile' else 0.5 + 0.1 * shown
        torch.testing.assert_close(given.weights, weights)


def test_rare_classes_count_more_in_a_balanced_mean_teacher(build, monkeypatch):
    model, probabilities, classes = taught(build, monkeypatch, labels='soft', balance=1, mix=False)
    shares = probabilities.mean((0, 2, 3))
    expected = (1 / shares / 19).clamp(max=10)[classes]
    given = model.prepare(Batch(torch.zeros(2, 3, 16, 16), None, None))
    torch.testing.assert_close(given.weights, expected)


def test_a_new_training_of_a_mean_teacher_begins_anew(build):
    model = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', **SMALL})
    model.thresholds.fill_(0.5)
    model.shares.fill_(0.5)
    model.begin_training()
    assert not model.thresholds.any()
    assert not model.shares.any()


def views_of(model, sizes=((8, 8),) * 3):
    """Return views with random logits and prompts, which no network made."""
    draw = torch.Generator().manual_seed(0)
    logits = [3 * torch.randn(2, 19, 8, 8, generator=draw) for _ in sizes]
    prompts = [tuple(torch.randn(2, 4, *size, generator=draw) for size in sizes)] * 2
    labels = torch.randint(19, (2, 8, 8), generator=draw)
    weights = torch.rand(2, 8, 8, generator=draw)
    images = torch.randn(2, 3, 8, 8, generator=draw)
    scale_weights = torch.tensor([0.5, -0.2, 0.1])[: len(sizes)]
    return Views(0, images, None, labels, weights, logits, [], prompts, scale_weights)


@pytest.mark.parametrize('method', ['SelfTraining', 'MeanTeacher'])
def test_views_count_alike(build, method):
    changes = {} if method == 'SelfTraining' else {'mask_ratio': 0}
    model = build('mit-nano_uni-uvpt', {'type': method, **changes})
    views = views_of(model)
    (loss,) = (x for n, x in model.loss_by_views(views).items() if n.startswith('loss'))
    each = [cross_entropy(x, views.labels, views.weights) for x in views.logits]
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_the_student_also_learns_from_what_is_masked(build):
    """All of it: then it sees black images."""
    model = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', 'mask_ratio': 1.0, **SMALL}).eval()
    nn.init.normal_(model.decode_head.conv_seg.weight)
    views = views_of(model, sizes=((8, 8),))
    logits = model.run_view(torch.zeros(2, 3, 8, 8), 1).logits
    expected = cross_entropy(resized(logits, (8, 8), True), views.labels, views.weights)
    torch.testing.assert_close(model.loss_by_views(views)['loss_masked'], expected)


def test_parts_of_the_loss_of_uni_uvpt_have_the_weights_that_are_asked_for(build):
    def losses(**changes):
        plain = {'entropy_weight': 0.0, 'prediction_weight': 1.0, 'prompt_weight': 1.0}
        model = build('mit-nano_uni-uvpt', plain | changes)
        return model.loss_by_views(views_of(model))

    plain = losses()
    probabilities = [x.softmax(1) for x in views_of(None).logits]
    entropy = entropy_regulariser(probabilities[0], probabilities[0].log())
    added = losses(entropy_weight=0.5)['loss_self_training'] - plain['loss_self_training']
    torch.testing.assert_close(added, 0.5 * entropy)
    for name in ('self_training', 'prediction', 'prompt'):
        doubled = losses(**{f'{name}_weight': 2.0})
        names = [n for n in plain if n.startswith(f'loss_{name}')]
        assert names
        for n in names:
            torch.testing.assert_close(doubled[n], 2 * plain[n])
    low, high = (losses(confidence_floor=x)['loss_prediction_consistency'] for x in (0.1, 0.4))
    assert low > high > 0


def test_views_are_resized_corner_on_corner(build, monkeypatch):
    model = build('mit-nano_uni-uvpt', {}).eval()
    seen, run = [], model.backbone.features_and_prompts
    monkeypatch.setattr(
        model.backbone, 'features_and_prompts', lambda x: (seen.append(x), run(x))[1]
    )
    images = torch.randn(1, 3, 32, 48)
    model.run_view(images, 0.5)
    expected = nn.functional.interpolate(images, (16, 24), mode='bilinear', align_corners=True)
    torch.testing.assert_close(seen[0], expected)


def test_statistics_that_move_begin_at_those_of_the_source(build):
    changes = {'type': 'AdaBN', 'tuner': STATISTICS, 'momentum': 0.1, **SMALL}
    model = build('mit-nano_uni-uvpt', changes)
    norm = next(m for m in model.decode_head.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_mean.fill_(3)
    model.begin_training()
    assert norm.running_mean.unique().tolist() == [3]


def test_thresholds_of_classes_follow_their_quantiles(build):
    changes = {'type': 'MeanTeacher', 'labels': 'class_quantile', 'quantile': 0.5}
    model = build('mit-nano_uni-uvpt', changes)
    confidence = torch.tensor([[[0.2, 0.4, 0.6, 0.9]]])
    labels = torch.tensor([[[1, 1, 1, 2]]])
    assert model._is_trusted(confidence, labels).tolist() == [[[False, True, True, True]]]
    assert model.thresholds[[0, 1, 2]].tolist() == pytest.approx([0, 0.4, 0.9])
    model._is_trusted(confidence + 0.1, labels)
    assert model.thresholds[[0, 1, 2]].tolist() == pytest.approx([0, 0.41, 0.91])


@pytest.mark.slow  # a quantile of torch takes 2 ** 24 numbers and no more
def test_a_class_may_cover_a_huge_batch(build):
    model = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', 'labels': 'class_quantile'})
    confidence = torch.linspace(0, 1, 2**24 + 8).view(1, 1, -1)
    trusted = model._is_trusted(confidence, torch.ones_like(confidence, dtype=torch.long))
    assert trusted.double().mean().item() == pytest.approx(0.5, abs=1e-4)


def test_what_is_no_number_does_not_stay_in_the_shares(build):
    """Its iteration is skipped, and the next one is as if it had not been."""
    model = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', 'balance': 0.5})
    model.begin_training()
    probabilities = torch.rand(1, 19, 4, 4).softmax(1)
    model._weights_of_classes(probabilities)
    shares = model.shares.clone()
    broken = probabilities.clone()
    broken[0, 3, 0, 0] = torch.nan
    assert shares.isfinite().all()
    model._weights_of_classes(broken)
    assert model.shares[3] == shares[3]
    assert model._weights_of_classes(probabilities).isfinite().all()


@pytest.mark.parametrize(
    'wrong',
    [{'momentum': 2}, {'labels': 'none'}, {'quantile': -1}, {'mask_patch': 0}, {'mask_patch': 6.5}],
)
def test_arguments_of_the_mean_teacher_that_are_out_of_range(build, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', **wrong})


def test_adabn_renews_the_statistics_of_the_head_and_nothing_else(build, labelled):
    model = build('mit-nano_uni-uvpt', {'type': 'AdaBN', 'tuner': STATISTICS, **SMALL})
    model.begin_training()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    norm = next(m for m in model.decode_head.modules() if isinstance(m, nn.BatchNorm2d))
    seen = []
    norm.register_forward_hook(lambda module, given, _: seen.append(given[0].clone()))
    for seed in range(3):
        torch.manual_seed(seed)
        losses = model.train().loss(torch.randn(2, 3, 32, 32), labelled(torch.zeros(2, 32, 32)))
        assert losses['loss_none'] == 0
    mean = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variance = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x in seen]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert {name.rpartition('.')[2] for name in changed} == {
        *('running_mean', 'running_var', 'num_batches_tracked')
    }
    assert all(name.startswith('decode_head.') for name in changed)


def test_adabn_of_the_whole_model(build, labelled):
    changes = {'type': 'AdaBN', 'parts': 'model', 'tuner': {'type': 'Statistics'}, **SMALL}
    model = build('efficientnet-lite0_source', changes)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.begin_training()
    model.train().loss(torch.randn(2, 3, 64, 64), labelled(torch.zeros(2, 64, 64)))
    changed = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {n for n in before if n.endswith(('_mean', '_var', 'num_batches_tracked'))}
    assert any(name.startswith('backbone.staged.') for name in changed)
    assert not model.backbone.training  # drop path is in none of what is
    assert all(m.training for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d))
    plain = {'type': 'FCNHead', 'in_channels': 320, 'channels': 8, 'num_classes': 19}
    changes['decode_head'] = {'_delete_': True, **plain, 'in_index': 3}
    build('efficientnet-lite0_source', changes)
    with pytest.raises(ValueError, match='the head has no batch norms to renew'):
        build('efficientnet-lite0_source', {**changes, 'parts': 'head'})
    with pytest.raises(ValueError, match="parts='neck': must be one of head, model"):
        build('efficientnet-lite0_source', {**changes, 'parts': 'neck'})
    for wrong in ({'keep_statistics': True}, {'momentum': 5.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            build('efficientnet-lite0_source', {**changes, **wrong})


@pytest.mark.parametrize('floor', [-0.1, 0.999, 80])
def test_a_floor_that_no_mixture_reaches(build, floor):
    with pytest.raises(ValueError, match=f'confidence_floor={floor}'):
        build('mit-nano_uni-uvpt', {'confidence_floor': floor})


def test_a_head_without_a_classifier_to_keep(build):
    head = {'type': 'SegmenterMaskTransformerHead', 'num_layers': 1, 'num_heads': 2}
    head |= {'embed_dims': 8, 'in_channels': 8, 'channels': 8, 'num_classes': 19}
    changes = {'type': 'InformationMaximisation', 'decode_head': {'_delete_': True, **head}}
    with pytest.raises(ValueError, match='SegmenterMaskTransformerHead has no conv_seg'):
        build('mit-nano_uni-uvpt', changes)


@pytest.mark.parametrize('align', [False, True])
def test_the_correction_is_given_what_would_be_predicted(build, align):
    """Also by a head whose logits are resized corner on corner."""
    changes = {'decode_head.align_corners': align, 'decode_head.dropout_ratio': 0, **SMALL}
    model = build('mit-nano_uni-uvpt', changes).eval()
    nn.init.normal_(model.decode_head.conv_seg.weight)
    images = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        logits = model.run_view(images, 1).logits
        given = model.predict_for_correction([logits] * len(model.scale_weights), (40, 56))
        expected = resized(logits, (40, 56), align).argmax(1)
    assert torch.equal(given.label.long(), expected)
    assert align == model.align_corners


def test_statistics_are_kept_or_follow(build, labelled):
    for kept in (True, False):
        model = build('mit-nano_uni-uvpt', {'keep_statistics': kept, **SMALL}).train()
        buffers = dict(model.decode_head.named_buffers())
        before = {name: tensor.clone() for name, tensor in buffers.items()}
        model.loss(torch.randn(1, 3, 32, 32), labelled(torch.zeros(1, 32, 32)))
        assert all(torch.equal(t, before[n]) for n, t in buffers.items()) == kept
        assert model.decode_head.fuse_layer.bottleneck.bn.weight.requires_grad


@pytest.mark.parametrize('kept', [True, False])
def test_statistics_of_trained_norms_of_the_backbone_are_kept_too(build, kept):
    changes = {'type': 'SelfTraining', 'tuner': {'type': 'Norm'}, 'keep_statistics': kept}
    model = build('efficientnet-lite0_source', changes).train()
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.training for norm in norms} == {not kept}
    assert all(norm.weight.requires_grad for norm in norms)


def test_probabilities_as_labels():
    random = np.random.default_rng(1)
    logits, wanted = random.normal(size=(2, 2, 4, 5, 6))
    wanted = np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True)
    log = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    expected = -(wanted * log).sum() / (2 * 5 * 6)
    assert cross_entropy(torch.tensor(logits), torch.tensor(wanted)).item() == pytest.approx(
        expected
    )


def test_the_teacher_is_asked_both_ways_round(build):
    model = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', 'teacher_flips': True})
    nn.init.normal_(model.decode_head.conv_seg.weight)
    model.begin_training()
    image = torch.randn(2, 3, 64, 64)
    model.eval()
    total = 0
    with torch.no_grad():
        for turn in (lambda x: x, lambda x: x.flip(3)):
            logits = model(turn(image), mode='tensor')
            logits = nn.functional.interpolate(logits, (64, 64), mode='bilinear')
            total = total + turn(logits.softmax(1)) / 2
    torch.testing.assert_close(model.train().ask_teacher(image), total, rtol=1e-4, atol=1e-5)


def test_rare_classes_count_more(build):
    model = build('mit-nano_uni-uvpt', {'type': 'MeanTeacher', 'balance': 0.5})
    p = torch.zeros(1, 19, 10, 10)
    p[:, 0, :9], p[:, 1, 9:] = 1, 1  # shares of 0.9 and 0.1
    found = model._weights_of_classes(p)
    assert (found[1] / found[0]).item() == pytest.approx(3)
    assert (0.9 * found[0] + 0.1 * found[1]).item() == pytest.approx(1)
    assert found[2] == 10
    model._weights_of_classes(p.roll(1, 1))
    assert model.shares[:3].tolist() == pytest.approx([0.81, 0.18, 0.01])
