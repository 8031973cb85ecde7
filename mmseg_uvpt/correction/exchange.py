"""What the processes of a training tell each other for the label correction.

Rank 0 has the label bank, decides and corrects. It gathers the samples of all processes in the
order in which one process would have had them in one batch, and scatters their labels. So several
processes do what one does, on one machine or on many, and only rank 0's machine needs the bank.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import TypeVar

import torch.distributed as dist
from mmengine.dist import get_world_size, is_main_process

T = TypeVar('T')


def gather(own: Sequence[T]) -> list[Sequence[T]] | None:
    """Return what each process has of its samples, on rank 0; None on the others."""
    if get_world_size() == 1:
        return [own]
    dealt = [None] * get_world_size() if is_main_process() else None
    dist.gather_object(own, dealt, group=_group())
    return dealt


def scatter(dealt: list[Sequence[T]] | None) -> Sequence[T]:
    """Return rank 0's entry for this process; the others pass None."""
    if get_world_size() == 1:
        return dealt[0]
    own = [None]
    dist.scatter_object_list(own, dealt, group=_group())
    return own[0]


def joint_batch(dealt: list[Sequence[T]]) -> list[T]:
    """Return the samples of all processes in the order of one batch.

    The samplers deal an endless sequence out in turn: the first samples of all processes come
    before the second ones.
    """
    return list(itertools.chain(*zip(*dealt, strict=True)))


@functools.cache
def _group() -> dist.ProcessGroup:
    """The group to talk in. What is told lies in main memory, so GPUs are left out of it."""
    return dist.new_group(backend='gloo')
