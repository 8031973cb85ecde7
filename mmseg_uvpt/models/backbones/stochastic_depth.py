"""Residual branches with stochastic depth (Huang et al., ECCV 2016)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Adds a residual branch that is dropped by chance in training, image by image.

    Args:
        rate: probability that an image does without the branch; the others get it divided by
            ``1 - rate``.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, tokens: Tensor, branch: Callable[..., Tensor], *args: Any) -> Tensor:
        """Return ``tokens + branch(tokens, *args)`` (B, N, C), the branch where it is kept."""
        x = branch(tokens, *args)
        if self.rate == 0 or not self.training:
            return tokens + x
        kept = torch.rand(len(x), device=x.device) >= self.rate
        return tokens + x * (kept.to(x) / (1 - self.rate)).view(-1, 1, 1)
