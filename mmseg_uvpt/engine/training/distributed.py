"""Several processes that train or score together, on GPUs (nccl) or on the CPU (gloo).

mmengine joins them on GPUs only, and only through its runner.
"""

import atexit
import datetime
import os

import torch
import torch.distributed as dist
from mmengine.dist import is_distributed
from torch import nn

from mmseg_uvpt.engine.training import sync_batch_norm
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.processes import die_with

TIMEOUT = 1800  # seconds: an evaluation by one process may take as long


def join(launcher: str, timeout: int = TIMEOUT) -> None:
    """Join the process group that torchrun describes; one process joins none.

    Other launchers are left to mmengine.

    Args:
        launcher: as ``--launcher`` names it.
        timeout: seconds that processes wait for each other.

    Raises:
        UserError: this process was not started by torchrun; or another launcher finds no GPU.
    """
    if launcher == 'none' or is_distributed():
        return
    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UserError(
            '--launcher pytorch is for processes that torchrun starts: '
            'torchrun --nproc_per_node=2 train.py ...'
        )
    with_gpus = torch.cuda.is_available()
    if launcher != 'pytorch':
        if not with_gpus:
            raise UserError(f'--launcher {launcher} needs GPUs, and torch finds none: use torchrun')
        return
    die_with(os.getppid())  # torchrun, which takes nobody along if it is killed itself
    if with_gpus:
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
    limit = datetime.timedelta(seconds=timeout)
    dist.init_process_group('nccl' if with_gpus else 'gloo', timeout=limit)
    # threads of a group that is left to the interpreter's end may abort the process
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def lost_a_process(error: RuntimeError) -> bool:
    """Tell whether an error means that another process has ended."""
    return dist.is_initialized() and (
        isinstance(error, dist.DistError) or 'gloo/transport' in str(error)
    )


def on_cpu(model: nn.Module, wrapper: dict | None, find_unused: bool) -> tuple[nn.Module, dict]:
    """Prepare a model for several processes on the CPU.

    Args:
        model: to be wrapped.
        wrapper: config of its wrapper, if the recipe has one.
        find_unused: where it has none: whether some parameters may get no gradient.

    Returns:
        tuple: the model with batch norms over all processes, and the wrapper's config.
    """
    default = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': find_unused,
    }
    return sync_batch_norm.convert(model), {**default, **(wrapper or {}), 'device_ids': None}
