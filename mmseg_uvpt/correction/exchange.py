"""What the processes of a training tell each other for the label correction.

One process a node, the keeper, changes the node's bank; the others read labels from the same files.
Every keeper sees the samples of all processes, in the order in which one process would have had
them in one batch, so that all keepers come to the same decisions and the same banks. Nodes have a
bank each: memory-mapped files are not kept in step between machines.
"""

import os
from collections.abc import Sequence
from typing import Any

from mmengine.dist import all_gather_object, barrier, get_rank, get_world_size

from mmseg_uvpt.errors import UserError


def is_keeper() -> bool:
    """Tell whether this process changes the bank of its node."""
    return int(os.environ.get('LOCAL_RANK', 0)) == 0 or get_world_size() == 1


def bank_name() -> str:
    """Return the name of this node's bank in the work folder."""
    node = 0
    if get_world_size() > 1:
        size = int(os.environ.get('LOCAL_WORLD_SIZE', get_world_size()))
        node = int(os.environ.get('GROUP_RANK', get_rank() // size))
    return f'label_bank.node{node}' if node else 'label_bank'


def of_all(own: Sequence[Any]) -> list[Any]:
    """Return what all processes have of each of their samples, in the order of the joint batch.

    The samplers deal an endless sequence out in turn: the first samples of all processes come
    before the second ones.
    """
    dealt = all_gather_object(list(own))
    longest = max(map(len, dealt))
    return [one[k] for k in range(longest) for one in dealt if k < len(one)]


def wait() -> None:
    """Wait until all processes are here: what the keepers wrote can be read."""
    barrier()


def agree(decision: tuple) -> None:
    """Make sure that all keepers decided the same.

    Args:
        decision: anything comparable; None in a process that is no keeper.

    Raises:
        UserError: they did not.
    """
    decided = [one for one in all_gather_object(decision) if one is not None]
    if any(one != decided[0] for one in decided):
        raise UserError(
            'the nodes of this training came to different decisions of the label correction: their '
            'label banks are not equal. Resume from the last checkpoint; if it comes again, remove '
            'the work folder and start anew'
        )
