"""In which type `--amp` computes."""

from contextlib import AbstractContextManager, nullcontext

import torch


def half_type() -> torch.dtype:
    """Return bfloat16, or float16 on GPUs that compute in bfloat16 in software."""
    old = torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0)
    return torch.float16 if old else torch.bfloat16


def autocast(amp: bool, device: torch.device) -> AbstractContextManager:
    """Return the context in which a model on ``device`` computes: in `half_type` if ``amp``."""
    return torch.autocast(device.type, half_type()) if amp else nullcontext()
