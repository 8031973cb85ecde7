"""Asynchronous copies of tensors to the host, which nobody waits for before they are used."""

import torch
from torch import Tensor


class HostCopy:
    """Copies of tensors in main memory, made beside what the GPU computes next.

    Args:
        *tensors: of one device; on a CPU they are taken as they are.
    """

    def __init__(self, *tensors: Tensor):
        self._copies = tuple(x.to('cpu', non_blocking=True) for x in tensors)
        self._made = None
        if tensors[0].is_cuda:
            self._made = torch.cuda.Event()
            self._made.record()

    def wait(self) -> tuple[Tensor, ...]:
        """Return the copies, once they are there."""
        if self._made is not None:
            self._made.synchronize()
        return self._copies
