"""Small segmentors with any staged backbone and any tuner."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.ops import backends

SEGMENTOR = Path(__file__).resolve().parents[2] / 'configs/_base_/models/segmentor.py'
SIZE = 64, 96
PROMPTS = dict(type='Prompts', generator_channels=8)


def make(staged: dict, tuner: dict | None = PROMPTS, begun: bool = True):
    """Return an adapted model, or its source model, with random weights.

    What a tuner adds has an effect, as after some training, unless ``begun`` is off.
    """
    init_default_scope('mmseg')
    torch.manual_seed(0)
    widths = [feature.shape[1] for feature in MODELS.build(staged)(torch.randn(2, 3, *SIZE))]
    described = Config.fromfile(SEGMENTOR).model.to_dict()
    described['decode_head'] |= dict(in_channels=widths, channels=16, dropout_ratio=0.0)
    described['backbone'] = staged
    if staged['type'] == 'TimmViT':
        neck = dict(type='Feature2Pyramid', embed_dim=widths[0], norm_cfg=dict(type='BN'))
        described['neck'] = neck
    if tuner:
        described |= dict(type='UniUVPT', tuner=tuner, view_scales=(1.0, 0.75))
    torch.manual_seed(0)
    model = MODELS.build(described)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    if tuner and begun:
        for name, parameter in model.backbone.named_parameters():
            if model.backbone.is_added(name) and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
    for adapter in getattr(model.backbone, 'adapters', ()) if begun else ():
        torch.nn.init.normal_(adapter.injector.gamma, std=0.1)
        for part in (adapter.extractor, adapter.injector):  # no sample on the edge of a pixel
            torch.nn.init.normal_(part.attn.sampling.weight, std=0.02)
    return model.train()


def assert_same_step(model, fast, batch) -> None:
    """A step has the same loss and gradients accelerated as by the references of its operators."""
    with backends.forced('reference'):
        loss, gradients = step(model, batch)
    found, others = step(fast, batch)
    torch.testing.assert_close(found, loss, rtol=1e-5, atol=1e-5)
    assert others.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert (others[name] - gradient).norm() <= 1e-2 * gradient.norm() + 1e-6, name


def step(model, batch) -> tuple[torch.Tensor, dict]:
    """Return the loss and the gradients."""
    torch.manual_seed(2)
    loss = model.parse_losses(model(*batch, mode='loss'))[0]
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
