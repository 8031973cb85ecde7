"""The running statistics of batch norms, kept to be put back."""

import torch
from torch import Tensor, nn


def kept_statistics(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return each buffer of the batch norms in a model, and a copy of it as it is now."""
    return [
        (buffer, buffer.clone())
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
        for buffer in module.buffers(recurse=False)
    ]


def keep_again(statistics: list[tuple[Tensor, Tensor]]) -> None:
    """Give the copies the values of their buffers."""
    if statistics:
        buffers, copies = zip(*statistics, strict=True)
        torch._foreach_copy_(copies, buffers)


def put_back(statistics: list[tuple[Tensor, Tensor]]) -> None:
    """Give the buffers the values of their copies."""
    if statistics:
        buffers, copies = zip(*statistics, strict=True)
        torch._foreach_copy_(buffers, copies)
