"""Memory that a program on a CPU keeps once it has it."""

import ctypes
import sys

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


def keep_main_memory() -> bool:
    """Have glibc keep the memory of tensors that are gone for those to come; tell whether it does.

    It would get each large tensor's pages from the system, cleared, and return them: a third of the
    time of Swin-B's head, forward and backward at 1024 x 1024. The price is that memory stays taken
    between its peaks, and that it is more scattered; so what is free before, such as that of a
    checkpoint that was read, is returned. Another allocator, put before glibc's by LD_PRELOAD, is
    left alone, and so is glibc where there is a GPU.
    """
    if sys.platform != 'linux' or torch.cuda.is_available():
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, 'mallopt'):
        return False
    libc.malloc_trim(0)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, -1)
    return True
