"""How many parameters a segmentor has, and which of them are trained."""

from typing import NamedTuple

from torch import nn

from mmseg_uvpt.engine.training.optimizer import group_of


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
    prompts = sum(p.numel() for n, p in named if group_of(model, n) == 'prompts')
    head = sum(p.numel() for n, p in named if n.startswith(('neck.', 'decode_head.')))
    return ParameterCounts(total, trainable, total - trainable, prompts, head)
