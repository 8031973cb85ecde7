"""Images that are too large for the memory: which tiles, how they join, what memory is left."""

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt import free_memory
from mmseg_uvpt.engine.inference import tiles
from mmseg_uvpt.engine.inference.logits_to_labels import resized_probability
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.ops.resizing import resized


def test_tiles_are_chosen_by_size_and_memory():
    def chosen(gigabytes: float, size=(4000, 5000), images: int = 1, grid: int = 224):
        free = int(gigabytes * (1 << 30))
        return tiles.tiles_for(size, lambda: free, lambda: grid, 19, images)

    assert chosen(0, size=(1024, 2048)) is None  # alike everywhere
    assert chosen(10, size=(2000, 2500), images=8) is None  # in any batch
    assert chosen(5, size=(2000, 2500)) == (1344, 448)
    assert chosen(100) is None
    assert chosen(100, images=8) == (1568, 448)
    assert chosen(30) == (2240, 448)
    assert chosen(30, grid=256) == (2048, 512)
    found = [chosen(free).side for free in (4, 8, 16)]
    assert found[0] == 2 * tiles.OVERLAP
    with pytest.raises(UserError, match=r'pixels of 19 classes take 1\.5 GB, more than is free'):
        chosen(2)
    assert found == sorted(found)
    assert not any(side % 224 for side in found)


@pytest.mark.parametrize('size', [(900, 1351), (449, 1800), (896, 896), (100, 2000)])
def test_tiles_give_what_the_whole_image_gives(size):
    """Of a network that sees no farther than half of what tiles have in common."""
    torch.manual_seed(0)
    network = nn.Conv2d(3, 2, 3, padding=224, dilation=224)
    x = torch.randn(1, 3, *size)
    with torch.inference_mode():
        found = tiles.in_tiles(network, x, tiles.Tiles(896, 448))
        torch.testing.assert_close(found, network(x))


def swin(window: int) -> nn.Module:
    """Return a small Swin with random weights."""
    heads = (2, 2, 4, 4)
    described = dict(type='StagedSwin', embed_dims=16, depths=(2,) * 4, num_heads=heads)
    backbone = MODELS.build(described | dict(window_size=window))
    backbone.eval()  # mmseg's returns None
    return backbone


def test_tiles_begin_where_windows_and_patches_do():
    """As they are of a whole image, a model's windows would else be divided otherwise."""
    plain = dict(type='TimmViT', model='vit_small_patch14_dinov2', embed_dim=32, depth=5)
    vit = MODELS.build(plain | dict(num_heads=2, img_size=56))
    found = [
        tiles.grid_of(model) for model in (swin(7), swin(4), swin(12), vit, nn.Conv2d(1, 1, 3))
    ]
    assert found == [224, 128, 384, 224, 32]


def test_a_swin_sees_tiles_as_it_sees_the_whole_image():
    """In its first stage, whose two blocks see no farther than two windows."""
    backbone = swin(4)
    grid = tiles.grid_of(backbone)

    def first_stage(x):
        return resized(backbone(x)[0], tuple(x.shape[2:]), False)

    x = torch.randn(1, 3, 96, 900)
    with torch.inference_mode():
        found = tiles.in_tiles(first_stage, x, tiles.Tiles(4 * grid, 2 * grid))
        torch.testing.assert_close(found, first_stage(x))


def test_what_a_group_of_processes_may_take(monkeypatch, tmp_path):
    """Limits of a job lie below the top; files that the kernel drops do not count as used."""
    job = tmp_path / 'slurm/job_7'
    job.mkdir(parents=True)
    for name, text in {'max': 1000, 'current': 900, 'stat': 'anon 1\ninactive_file 600'}.items():
        (job / f'memory.{name}').write_text(str(text))
    (tmp_path / 'slurm/memory.max').write_text('max')
    (tmp_path / 'of_this').write_text('0::/slurm/job_7/step_0\n')
    monkeypatch.setattr(free_memory, '_MOUNTED', tmp_path)
    monkeypatch.setattr(free_memory, '_OF_THIS_PROCESS', tmp_path / 'of_this')
    assert free_memory.free_memory(torch.device('cpu')) == 700


@pytest.mark.parametrize('temperature', [1.0, 0.5])
def test_confidence_is_the_largest_probability(temperature):
    logits = 5 * torch.randn(1, 7, 9, 11)
    found = resized_probability(logits, (20, 31), False, temperature)
    full = resized(logits, (20, 31), False).div(temperature).softmax(1).amax(1)
    torch.testing.assert_close(found, full)
