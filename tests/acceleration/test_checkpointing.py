"""Activation checkpointing changes no number and saves memory."""

import pytest
import torch

from mmseg_uvpt.acceleration import prompts_head_loss
from mmseg_uvpt.acceleration.accelerate import accelerate


def a_step(model, image, samples):
    """Return losses, gradients and state of a step with all random numbers as they come."""
    torch.manual_seed(1)
    losses = model.loss(image, samples)
    model.parse_losses(losses)[0].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return losses, gradients, model.state_dict()


@pytest.mark.parametrize('name', ['swin-nano', 'mit-nano'])
def test_low_memory_changes_no_number(name, build, labelled):
    """Dropout, drop path and batch norms included."""
    image = torch.randn(2, 3, 64, 64)
    samples = labelled(torch.randint(0, 19, (2, 64, 64)))
    steps = []
    for low_memory in (False, True):
        torch.manual_seed(0)
        changes = {
            'backbone.drop_path_rate': 0.5,
            'decode_head.dropout_ratio': 0.1,
        }
        model = build(f'{name}_uni-uvpt', changes).train()
        accelerate(model, low_memory=low_memory)
        steps.append(a_step(model, image, samples))
    for plain, low in zip(*steps, strict=True):
        assert plain.keys() == low.keys()
        for key, value in plain.items():
            assert torch.equal(value, low[key]), key


def saved_bytes(model, image, samples) -> int:
    """Return how much memory a step's graph keeps, parameters included."""
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.loss(image, samples)
    return sum(storage.nbytes() for storage in saved.values())


def test_low_memory_saves_less(build, labelled):
    image = torch.randn(1, 3, 64, 64)
    samples = labelled(torch.randint(0, 19, (1, 64, 64)))
    kept = []
    for low_memory in (False, True):
        model = build('swin-nano_uni-uvpt').train()
        accelerate(model, low_memory=low_memory)
        kept.append(saved_bytes(model, image, samples))
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.slow
@pytest.mark.parametrize('name', ['swin-nano', 'mit-nano'])
def test_checkpointing_under_autocast_changes_no_number_and_saves_memory(
    name, build, labelled, monkeypatch
):
    image = torch.randn(1, 3, 128, 128)  # a view of less than 64 x 64 meets a bug of torch
    samples = labelled(torch.randint(0, 19, (1, 128, 128)))
    changes = {'backbone.drop_path_rate': 0.5, 'decode_head.dropout_ratio': 0.1}
    steps, kept = [], []
    for checkpoints in (True, False):
        if not checkpoints:
            plain = lambda run, *args: run(*args)  # noqa: E731
            monkeypatch.setattr(prompts_head_loss, 'checkpointed_in_half', plain)
        torch.manual_seed(0)
        model = build(f'{name}_uni-uvpt', changes).train()
        accelerate(model)
        with torch.autocast('cpu', torch.bfloat16):
            steps.append(a_step(model, image, samples))
            kept.append(saved_bytes(model, image, samples))
    for found, expected in zip(*steps, strict=True):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(found[key], value), key
    assert kept[0] < 0.8 * kept[1]
