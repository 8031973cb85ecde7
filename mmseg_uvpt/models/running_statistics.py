"""The running statistics of batch norms, kept to be put back."""

from collections.abc import Iterable

from torch import Tensor, nn


def kept_statistics(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return each buffer of the batch norms in a model, and a copy of it as it is now."""
    return [
        (buffer, buffer.clone())
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase)
        for buffer in module.buffers(recurse=False)
    ]


def put_back(statistics: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Give the buffers the values of their copies."""
    for buffer, kept in statistics:
        buffer.copy_(kept)
