"""The losses against direct computations."""

import math

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.models.losses.consistency import (
    mix,
    prediction_consistency,
    prompt_consistency,
)
from mmseg_uvpt.models.losses.entropy import entropy_regulariser
from mmseg_uvpt.models.losses.lovasz import LovaszSoftmax
from mmseg_uvpt.ops.lovasz import by_batched_sort, by_radix_sorts, lovasz_softmax


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def lovasz_by_loops(probabilities, labels):
    """Algorithm 1 of the paper, a class and a pixel at a time."""
    pixels = probabilities.permute(0, 2, 3, 1).reshape(-1, probabilities.shape[1])
    pixels = pixels[labels.flatten() != 255]
    kept = labels.flatten()[labels.flatten() != 255]
    losses = []
    for c in kept.unique().tolist():
        truth = kept == c
        errors = torch.where(truth, 1 - pixels[:, c], pixels[:, c])
        order = errors.argsort(descending=True)
        before, total = 0.0, 0.0
        for rank in range(len(order)):
            wrong = order[: rank + 1]
            missed = int(truth[wrong].sum())
            jaccard = 1 - (int(truth.sum()) - missed) / (
                int(truth.sum()) + int((~truth[wrong]).sum())
            )
            total += errors[order[rank]] * (jaccard - before)
            before = jaccard
        losses.append(total)
    return sum(losses) / len(losses)


def some_predictions(dtype):
    """Return predictions and labels where a class is absent and pixels are ignored."""
    probabilities = (3 * torch.randn(2, 5, 6, 7, dtype=dtype)).softmax(1).requires_grad_()
    labels = torch.randint(0, 4, (2, 6, 7))  # class 4 is absent
    labels[:, :2] = 255
    return probabilities, labels


def test_labels_of_any_type_give_the_same_lovasz():
    probabilities, labels = some_predictions(torch.float32)
    found = [LovaszSoftmax()(probabilities, labels.to(kind)) for kind in (torch.uint8, torch.int64)]
    assert found[0] == found[1]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_lovasz_against_loops(dtype):
    """The CPU's float32 has an implementation of its own; float64 takes the GPU's."""
    probabilities, labels = some_predictions(dtype)
    loss = 3 * lovasz_softmax(probabilities, labels)
    expected = 3 * lovasz_by_loops(probabilities, labels)
    torch.testing.assert_close(loss, expected)
    grads = [torch.autograd.grad(x, probabilities)[0] for x in (loss, expected)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing_of_the_plain_lovasz(dtype):
    probabilities, labels = some_predictions(torch.float32)
    expected = LovaszSoftmax()(probabilities, labels)
    with torch.autocast('cpu', dtype):
        loss = LovaszSoftmax()(probabilities, labels)
    assert loss.dtype == torch.float32
    assert loss == expected


@pytest.mark.parametrize('sharpness', [1, 5, 100])
def test_both_sorts_agree(sharpness):
    """Also where predictions are exactly 0 or 1, of which many have the same error."""
    probabilities = (sharpness * torch.randn(1, 7, 40, 50)).softmax(1)
    labels = torch.where(torch.rand(1, 40, 50) < 0.7, probabilities.argmax(1), 3)
    labels[:, :5] = 255
    rows, labels = probabilities[0].flatten(1), labels.flatten()
    (loss, gradient), (expected, other) = (
        by(rows, labels, labels != 255) for by in (by_radix_sorts, by_batched_sort)
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient.abs().sum(1), other.abs().sum(1))
    if sharpness == 1:  # among equal errors any order is right, and gradients differ by it
        torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize('bins', [1, 4, 64, 4096])
def test_lovasz_by_histogram_is_within_its_bound(bins):
    probabilities, labels = some_predictions(torch.float64)
    exact = lovasz_softmax(probabilities, labels)
    found = lovasz_softmax(probabilities, labels, bins=bins)
    assert 0 < abs(found - exact) <= 1 / bins


def test_lovasz_by_histogram_is_exact_where_no_two_errors_share_a_bin():
    probabilities, labels = some_predictions(torch.float64)
    exact, found = (lovasz_softmax(probabilities, labels, bins=b) for b in (None, 1 << 18))
    torch.testing.assert_close(found, exact)
    grads = [torch.autograd.grad(x, probabilities)[0] for x in (found, exact)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize('bins', [None, 8])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_lovasz_of_channels_that_lie_last_in_memory(dtype, bins):
    probabilities, labels = some_predictions(dtype)
    one, labels = probabilities.detach()[:1].requires_grad_(), labels[:1]
    other = one.detach().to(memory_format=torch.channels_last).requires_grad_()
    losses = [lovasz_softmax(p, labels, bins=bins) for p in (one, other)]
    assert torch.equal(*losses)
    grads = [torch.autograd.grad(x, p)[0] for x, p in zip(losses, (one, other), strict=True)]
    assert torch.equal(*grads)
    assert other.stride() != one.stride()


@pytest.mark.parametrize('bins', [None, 64])
def test_lovasz_is_an_operator_that_can_be_compiled(bins):
    probabilities, labels = some_predictions(torch.float32)
    checks = ('test_schema', 'test_autograd_registration', 'test_faketensor')
    operator = torch.ops.uvpt.lovasz_softmax
    torch.library.opcheck(operator, (probabilities, labels, 255, bins), test_utils=checks)


def test_lovasz_with_no_bins():
    with pytest.raises(ValueError, match='bins=0: must be None or at least 1'):
        lovasz_softmax(torch.rand(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long), bins=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_lovasz_of_a_prediction_that_is_not_finite(dtype):
    probabilities, labels = some_predictions(dtype)
    probabilities.data[1, :, 4, 4] = float('nan')
    assert lovasz_softmax(probabilities, labels).isnan()


@pytest.mark.gpu
@pytest.mark.parametrize('bins', [None, 64])
def test_lovasz_on_a_gpu(bins):
    probabilities, labels = some_predictions(torch.float64)
    expected = lovasz_softmax(probabilities, labels, bins=bins)
    found = lovasz_softmax(probabilities.cuda(), labels.cuda(), bins=bins)
    torch.testing.assert_close(found.cpu(), expected)
    grads = [torch.autograd.grad(x, probabilities)[0] for x in (found, expected)]
    torch.testing.assert_close(*grads)


def test_lovasz_of_a_hard_prediction_is_the_jaccard_loss():
    labels = torch.tensor([[[0, 0, 0, 1]]])
    predicted = torch.tensor([[[0, 0, 1, 1]]])
    probabilities = torch.nn.functional.one_hot(predicted, 2).permute(0, 3, 1, 2).double()
    expected = 1 - (2 / 3 + 1 / 2) / 2
    assert lovasz_softmax(probabilities, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('bins', [None, 8])
def test_lovasz_where_all_is_ignored(dtype, bins):
    probabilities = torch.rand(1, 3, 2, 2, dtype=dtype, requires_grad=True)
    loss = lovasz_softmax(probabilities, torch.full((1, 2, 2), 255), bins=bins)
    loss.backward()
    assert loss.item() == 0
    assert probabilities.grad.abs().max() == 0


def test_prediction_consistency_counts_confident_labelled_pixels_only():
    logits = [torch.randn(1, 3, 2, 2, dtype=torch.float64) for _ in range(3)]
    logits[0][:, 0, 0] += 40
    logits[1][:, 0, 0] += 40  # the first row is confident
    logs = [x.log_softmax(1) for x in logits]
    weights = torch.tensor([0.3, 1.0, -0.5], dtype=torch.float64)
    mixture = mix([x.exp() for x in logs], weights)
    labels = torch.zeros(1, 2, 2, dtype=torch.long)
    labels[0, 0, 1] = 255
    share = weights.exp() / weights.exp().sum()
    total = 0.0
    for y in range(2):
        for x in range(2):
            p = [log.exp()[0, :, y, x] for log in logs]
            m = sum(w * v for w, v in zip(share, p, strict=True)).clamp(1e-3, 1 - 1e-3)
            if m.max() >= 0.8 and labels[0, y, x] != 255:
                total += sum((v * (v / m).log()).sum() for v in p)
    assert total > 0
    found = prediction_consistency([x.exp() for x in logs], logs, mixture, labels)
    torch.testing.assert_close(found, total / 4)


def test_prompt_consistency():
    first, half, double = torch.rand(1, 2, 4, 4), torch.rand(1, 2, 2, 2), torch.rand(1, 2, 8, 8)
    assert prompt_consistency([first, first, first]).item() < 1e-12
    views = [
        torch.nn.functional.interpolate(v, size=(4, 4), mode='bilinear', align_corners=True)
        for v in (first, half, double)
    ]
    average = sum(v.clamp(1e-3, 1 - 1e-3) for v in views) / 3
    expected = sum(((v.clamp(1e-3, 1 - 1e-3) - average) ** 2).mean() for v in views) / 3
    torch.testing.assert_close(prompt_consistency([first, half, double]), expected)


def test_entropy_regulariser_ends():
    uniform, certain = torch.zeros(2, 1, 19, 2, 2)
    certain[:, 3] = 1e3
    expected = ((math.log(19) / 2.9444) ** 2 + 1e-8) ** 2
    for logits, value, tolerance in ((uniform, expected, 1e-5), (certain, 1e-16, 1e-3)):
        logs = logits.log_softmax(1)
        found = entropy_regulariser(logs.exp(), logs).item()
        assert found == pytest.approx(value, rel=tolerance)


def test_weighted_cross_entropy_is_a_mean_over_all_pixels():
    """By hand: a fifth of the pixels is ignored, and counts among those that are averaged over."""
    init_default_scope('mmseg')
    weights = [0.5, 3.0]
    loss = MODELS.build({'type': 'PixelMeanCrossEntropy', 'class_weight': weights})
    labels = torch.tensor([[[0, 1, 1, 0, 255]]])
    logits = torch.zeros(1, 2, 1, 5)
    logits[0, 1, 0] = torch.tensor([0.0, math.log(3), 0.0, 0.0, 50.0])  # of class 1, over class 0
    likelihoods = [1 / 2, 3 / 4, 1 / 2, 1 / 2]  # of the labels
    total = sum(-weights[c] * math.log(p) for c, p in zip((0, 1, 1, 0), likelihoods, strict=True))
    assert loss(logits, labels, ignore_index=255).item() == pytest.approx(total / 5)
    of_mmseg = MODELS.build({'type': 'CrossEntropyLoss', 'class_weight': weights})
    assert of_mmseg(logits, labels, ignore_index=255).item() == pytest.approx(total / 7)
    assert loss.loss_name == of_mmseg.loss_name == 'loss_ce'


def test_without_weights_it_is_mmsegs():
    init_default_scope('mmseg')
    logits, labels = torch.randn(2, 5, 6, 7), torch.randint(0, 5, (2, 6, 7))
    labels[:, :2] = 255
    ours, theirs = (
        MODELS.build({'type': name}) for name in ('PixelMeanCrossEntropy', 'CrossEntropyLoss')
    )
    assert torch.equal(
        ours(logits, labels, ignore_index=255), theirs(logits, labels, ignore_index=255)
    )
