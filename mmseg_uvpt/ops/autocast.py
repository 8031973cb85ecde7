"""What autocast does to the operators that run now."""

import torch
from torch import Tensor


def autocast_type(x: Tensor) -> torch.dtype | None:
    """Return the type that autocast computes in on a tensor's device; None without autocast."""
    kind = x.device.type
    if _has_autocast(kind) and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return None


@torch.compiler.assume_constant_result  # not every torch traces the question
def _has_autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind)
