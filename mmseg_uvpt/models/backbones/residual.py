"""Residual branches with stochastic depth (Huang et al., ECCV 2016): a dropped one is free."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mmseg_uvpt.acceleration.capture import fused, is_recorded


def add_branch(
    tokens: Tensor, rate: float, frozen: bool, branch: Callable[..., Tensor], *args: Any
) -> Tensor:
    """Add a branch that is dropped by chance, image by image.

    A frozen branch runs only for the images that keep it, so that a dropped one costs nothing;
    the result is the same but for rounding. A trainable one always runs: its parameters have a
    gradient then, if of zeros, which the optimiser and several processes rely on.

    Args:
        tokens: (B, N, C).
        rate: probability that an image does without the branch; the others get it divided by
            ``1 - rate``.
        frozen: whether the branch has no trainable parameter.
        branch: maps tokens (b, N, C) to tokens of that shape, image by image.
        *args: of the branch, after the tokens.

    Returns:
        Tensor: same shape as ``tokens``.
    """
    if rate == 0:
        return _added(tokens, None, branch, *args)
    skips = frozen and not is_recorded()  # a graph cannot depend on a draw
    # drawn on the CPU, the numbers are known without waiting for a GPU
    kept = torch.rand(len(tokens), device='cpu' if skips else tokens.device) >= rate
    if not skips:
        return _added(tokens, kept.to(tokens) / (1 - rate), branch, *args)
    if kept.all():
        x = branch(tokens, *args)
        # a number of the branch's type: a tensor would have to be copied to a GPU and waited for
        return tokens + x * (torch.ones((), dtype=x.dtype, device='cpu') / (1 - rate)).item()
    if not kept.any():
        return tokens
    kept = kept.nonzero().flatten().to(tokens.device, non_blocking=True)
    return tokens.index_add(0, kept, branch(tokens[kept], *args).to(tokens) / (1 - rate))


@fused
def _added(
    tokens: Tensor, share: Tensor | None, branch: Callable[..., Tensor], *args: Any
) -> Tensor:
    """Add a branch, times each image's share (B,) of it."""
    x = branch(tokens, *args)
    return tokens + (x if share is None else x * share.to(x).view(-1, 1, 1))


def is_frozen(module: nn.Module) -> bool:
    """Tell whether a module has no trainable parameter."""
    return not any(p.requires_grad for p in module.parameters())
