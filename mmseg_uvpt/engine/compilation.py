"""Compiling a segmentor's network with torch.compile, where that works."""

import torch
import torch._dynamo
from mmengine.logging import print_log
from torch import nn

from mmseg_uvpt.engine.runner import without_wrapper


def compile_network(model: nn.Module) -> None:
    """Have backbone and head compiled when they first run.

    Their parameters and names stay as they are. Where there is no compiler, the log says so and
    they run uncompiled; so does a part that turns out to be more than the compiler can do.

    Args:
        model: a segmentor, or a wrapper of one that has it as ``module``.
    """
    model = without_wrapper(model)
    device = next(model.parameters()).device
    if reason := _why_not(device):
        print_log(f'--compile has no effect: {reason}', logger='current')
        return
    torch._dynamo.config.suppress_errors = True  # they become warnings
    for part in (model.backbone, model.decode_head):
        part.compile()


def _why_not(device: torch.device) -> str | None:
    """Compile a line; return what the compiler says where that fails."""
    try:
        torch.compile(_line)(torch.zeros(8, device=device))
    except Exception as error:  # of many kinds, each compiler's own
        return f'torch.compile cannot be used here ({(str(error) or repr(error)).splitlines()[0]})'
    return None


def _line(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1
