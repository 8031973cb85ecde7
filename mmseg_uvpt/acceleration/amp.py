"""In which type `--amp` computes."""

from contextlib import AbstractContextManager, nullcontext

import torch


def half_type(device: torch.device | str) -> torch.dtype:
    """Return bfloat16, or float16 for a GPU that computes in bfloat16 in software."""
    device = torch.device(device)
    old = device.type == 'cuda' and torch.cuda.get_device_capability(device) < (8, 0)
    return torch.float16 if old else torch.bfloat16


def autocast(amp: bool, device: torch.device) -> AbstractContextManager:
    """Return the context in which a model on ``device`` computes: in `half_type` if ``amp``."""
    return torch.autocast(device.type, half_type(device)) if amp else nullcontext()
