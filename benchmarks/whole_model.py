"""Whole adapted models of full size with random weights, which several benchmarks time."""

from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[1]


def make_model(name: str):
    """Build an adapted model as the recipes do, with random weights that let each part count.

    As recipes begin, adapters would add a millionth of what they compute, they would sample at
    pixels' edges, where rounding decides between two gradients, and no pixel would be confident
    enough for the prediction consistency.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    import mmseg_uvpt.register  # noqa: F401

    init_default_scope('mmseg')
    torch.manual_seed(0)
    config = Config.fromfile(REPOSITORY / f'configs/_base_/models/{name}_uni-uvpt.py')
    model = MODELS.build(config.model)
    for adapter in model.backbone.adapters:
        torch.nn.init.normal_(adapter.injector.gamma, std=0.1)
        for part in (adapter.extractor, adapter.injector):
            torch.nn.init.normal_(part.attn.sampling.weight, std=0.02)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=0.3)
    return model


def source_tensors(adapted: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of the source model within an adapted one, under its own names."""
    return {
        name.replace('backbone.staged.', 'backbone.'): tensor
        for name, tensor in adapted.state_dict().items()
        if name.startswith(('backbone.staged.', 'decode_head.'))
    }
