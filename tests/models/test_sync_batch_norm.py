"""Batch norm over two processes equals batch norm over the joint batch."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.layers import BatchNormAct2d
from torch import nn

from mmseg_uvpt.engine.training import sync_batch_norm
from mmseg_uvpt.engine.training.sync_batch_norm import SyncBatchNorm, convert


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    with torch.no_grad():
        for norm in (model[1], model[3]):
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
    return model.double()


def make_images() -> torch.Tensor:
    return torch.randn(3, 3, 6, 7, generator=torch.Generator().manual_seed(1)).double() * 5 + 100


def step(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    output = model(images)
    (output * torch.linspace(-1, 1, output[0].numel()).double().view_as(output[0])).sum().backward()
    return output.detach()


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)  # a forked process may not use its parent's thread pool
    dist.init_process_group('gloo', f'file://{folder}/group', rank=rank, world_size=2)
    model = convert(make_model())
    images = make_images()
    mine = images[:1] if rank == 0 else images[1:]  # of unequal size
    output = step(model, mine)
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
    torch.save(
        {
            'output': output,
            'grads': [parameter.grad for parameter in model.parameters()],
            'state': model.state_dict(),
        },
        f'{folder}/{rank}.pth',
    )
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp('two')
    mp.start_processes(process, (str(folder),), nprocs=2, start_method='fork')
    return [torch.load(folder / f'{rank}.pth') for rank in (0, 1)]


def test_two_processes_equal_one(two):
    model = make_model()
    output = step(model, make_images())
    torch.testing.assert_close(torch.cat([one['output'] for one in two]), output)
    for rank in (0, 1):
        grads = [parameter.grad for parameter in model.parameters()]
        torch.testing.assert_close(two[rank]['grads'], grads)
        torch.testing.assert_close(dict(two[rank]['state']), dict(model.state_dict()))


def test_moments_in_half_precision_are_sums_in_float32(monkeypatch):
    """As of two processes with the same images; a count of pixels alone has too many digits."""
    monkeypatch.setattr(dist, 'get_world_size', lambda: 2)
    monkeypatch.setattr(sync_batch_norm, 'all_reduce', lambda x: 2 * x)
    torch.manual_seed(0)
    images = (3 + 0.3 * torch.randn(1, 4, 101, 200)).bfloat16()
    plain, other = nn.BatchNorm2d(4), SyncBatchNorm(4)
    found, expected = other(images), plain(images)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(other.running_mean, plain.running_mean)


def test_without_momentum_statistics_are_the_mean_of_all_batches(monkeypatch):
    """As AdaBN asks for; of two processes with the same images."""
    monkeypatch.setattr(dist, 'get_world_size', lambda: 2)
    monkeypatch.setattr(sync_batch_norm, 'all_reduce', lambda x: 2 * x)
    plain, other = (kind(4, 1e-5, None) for kind in (nn.BatchNorm2d, SyncBatchNorm))
    for images in torch.randn(3, 2, 4, 5, 6):
        plain(torch.cat([images, images]))
        other(images)
    torch.testing.assert_close(dict(other.state_dict()), dict(plain.state_dict()))


def test_conversion_keeps_names_values_and_what_is_frozen():
    model = make_model()
    model[1].requires_grad_(False)
    model[3].eval()
    before = copy.deepcopy(model.state_dict())
    converted = convert(model)
    assert [type(converted[i]) for i in (1, 3)] == [SyncBatchNorm] * 2
    assert list(converted.state_dict()) == list(before)
    torch.testing.assert_close(dict(converted.state_dict()), dict(before))
    assert not converted[1].weight.requires_grad
    assert converted[3].weight.requires_grad
    assert not converted[3].training


def test_activations_within_norms_are_kept():
    """Those of timm's EfficientNet: without them scores in several processes were nonsense."""
    norm = BatchNormAct2d(4, act_layer=nn.ReLU6)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm).eval().double()
    images = make_images()
    expected, names = model(images), list(model.state_dict())
    converted = convert(model)
    assert isinstance(converted[1], SyncBatchNorm)
    torch.testing.assert_close(converted(images), expected)
    assert list(converted.state_dict()) == names
    assert (expected == 0).any()
