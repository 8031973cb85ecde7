"""Making a segmentor's network one graph to predict with, where that works."""

import torch
import torch._dynamo
from mmengine.logging import print_log
from torch import nn

from mmseg_uvpt.engine.runner import without_wrapper
from mmseg_uvpt.errors import first_line
from mmseg_uvpt.models.cuda_graphs import RecordedNetwork


def compile_network(model: nn.Module) -> None:
    """Have backbone and head compiled when they first run.

    On a GPU a CUDA graph is recorded for each size of images, within seconds, so that it does not
    wait to be told of each kernel; elsewhere `torch.compile` generates code, in minutes. Parameters
    and names stay as they are. Where that cannot be done, the log says so and they run uncompiled;
    so does a part that turns out to be more than the compiler can do.

    Args:
        model: a segmentor, or a wrapper of one that has it as ``module``.
    """
    model = without_wrapper(model)
    device = next(model.parameters()).device
    if device.type == 'cuda':
        model.network = RecordedNetwork(model.network, _has_no_effect)
        return
    if reason := _why_not(device):
        _has_no_effect(f'torch.compile cannot be used here ({reason})')
        return
    torch._dynamo.config.suppress_errors = True  # they become warnings
    for part in (model.backbone, model.decode_head):
        part.compile()


def _has_no_effect(reason: str) -> None:
    print_log(f'--compile has no effect: {reason}', logger='current')


def _why_not(device: torch.device) -> str | None:
    """Compile a line; return what the compiler says where that fails."""
    try:
        torch.compile(_line)(torch.zeros(8, device=device))
    except Exception as error:  # of many kinds, each compiler's own
        return first_line(error)
    return None


def _line(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1
