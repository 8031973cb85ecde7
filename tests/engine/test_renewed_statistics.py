"""New statistics in the batch norms of a model."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.engine.inference.renewed_statistics import renew_statistics
from mmseg_uvpt.models.segmentors.source import norms_of_source

WIDTHS = (8, 16, 24, 32)


@pytest.fixture
def pooling():
    """A source model whose head pools the whole map, as that of UPerNet and PSPNet does."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    staged = dict(type='StagedMiT', widths=WIDTHS, depths=(1,) * 4, num_heads=(1,) * 4)
    head = dict(type='UPerHead', in_channels=WIDTHS, in_index=(0, 1, 2, 3), channels=8)
    head |= dict(num_classes=3, pool_scales=(1, 2), norm_cfg=dict(type='BN'), dropout_ratio=0)
    model = MODELS.build(dict(type='SourceSegmentor', backbone=staged, decode_head=head))
    with torch.no_grad():
        model.train()
        for _ in range(20):
            model(torch.randn(4, 3, 64, 64), mode='tensor')
    model.eval()
    return model


def test_a_norm_without_statistics_is_left_alone(pooling):
    """It has none that could be renewed, and others are."""
    for norm in (norms := norms_of_source(pooling))[1:]:
        norm.running_mean = norm.running_var = None
    with torch.no_grad():
        was = norms[0].running_mean.clone()
        renew_statistics(pooling, lambda: iter([torch.randn(2, 3, 64, 64)]))
    assert norms_of_source(pooling) == norms[:1]
    assert not torch.equal(norms[0].running_mean, was)


def test_a_norm_of_a_single_value_keeps_its_statistics(pooling):
    """One value has no variance: a model of the same images would be another afterwards."""
    images = [torch.randn(1, 3, 64, 64) for _ in range(8)]
    norms = [m for m in pooling.decode_head.psp_modules.modules() if hasattr(m, 'running_var')]
    before = [norm.running_var.clone() for norm in norms]
    with torch.no_grad():
        was = pooling(images[0], mode='tensor')
        renew_statistics(pooling, lambda: iter(images))
        now = pooling(images[0], mode='tensor')
    assert torch.equal(norms[0].running_var, before[0])
    assert not torch.equal(norms[1].running_var, before[1])
    assert all((norm.running_var > 0).all() for norm in norms)
    assert (now.argmax(1) == was.argmax(1)).float().mean() > 0.8
