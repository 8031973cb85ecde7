"""How many parameters a segmentor has, and which of them are trained."""

from typing import NamedTuple

from torch import nn

from mmseg_uvpt.models.tuners.tuner import Tuner


class ParameterCounts(NamedTuple):
    """Numbers of parameters. ``prompts`` is what the tuner adds."""

    total: int
    trainable: int
    frozen: int
    prompts: int
    head: int

    def __str__(self) -> str:
        return 'parameters: ' + ', '.join(
            f'{name} {count / 1e6:.2f} M' for name, count in self._asdict().items()
        )


def parameter_counts(model: nn.Module) -> ParameterCounts:
    """Count the parameters of a segmentor.

    Args:
        model: has a ``decode_head``; its backbone may be a `Tuner`.
    """
    named = list(model.named_parameters())
    total = sum(p.numel() for _, p in named)
    trainable = sum(p.numel() for _, p in named if p.requires_grad)
    prompts = 0
    if isinstance(model.backbone, Tuner):
        of_tuner = model.backbone.named_parameters()
        prompts = sum(p.numel() for n, p in of_tuner if model.backbone.is_added(n))
    head = sum(p.numel() for n, p in named if n.startswith(('neck.', 'decode_head.')))
    return ParameterCounts(total, trainable, total - trainable, prompts, head)
