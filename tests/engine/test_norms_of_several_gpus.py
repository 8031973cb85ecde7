"""Batch norms of a training on several GPUs, as they are put in place; none runs here."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from timm.layers import BatchNormAct2d
from torch import nn

from mmseg_uvpt.engine.training.runner import ProjectRunner


@pytest.mark.parametrize('sync_bn', ['torch', None])
def test_norms_keep_the_activation_in_them(monkeypatch, sync_bn):
    """Without it EfficientNet-Lite0 would be another network, and nothing would say so."""
    runner = object.__new__(ProjectRunner)
    runner.cfg, runner._distributed = Config({'sync_bn': sync_bn}), True
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(Runner, 'wrap_model', lambda self, _, model: model)
    model = nn.Sequential(BatchNormAct2d(3, act_layer=nn.ReLU6), nn.BatchNorm2d(3))
    wrapped = runner.wrap_model(None, model)
    synchronised = [isinstance(layer, nn.SyncBatchNorm) for layer in wrapped]
    assert synchronised == [sync_bn == 'torch'] * 2
    assert isinstance(wrapped[0].act, nn.ReLU6)
    assert runner.cfg.sync_bn is None
