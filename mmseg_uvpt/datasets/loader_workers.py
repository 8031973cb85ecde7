"""How the workers of data loaders live and die with the training they belong to."""

import os
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing import get_start_method

import torch
from torch.utils.data import DataLoader

from mmseg_uvpt.processes import die_with, share_of_processors

_GRACE = 20  # seconds that a worker serves on after it was told to end
_MOST = 8  # workers that read for one process, unless a config asks for more


def inference_loader(loader: dict) -> dict:
    """Return the config of a loader for inference, with a number of workers.

    Where it has none they are as many as this process has processors, up to 8: to decode a frame
    takes longer than a GPU needs to predict several. They are forked, as mmengine's runner has it,
    also where Python has another default (3.14) and no runner has changed that.
    """
    loader = {'num_workers': min(_MOST, share_of_processors()), **loader}
    if loader['num_workers']:
        loader.setdefault('multiprocessing_context', get_start_method(allow_none=True) or 'fork')
    return loader


def _begin(first: Callable[[int], object] | None, parent: int, worker: int) -> None:
    """Set a worker up; it runs this in its own process before it loads anything.

    A signal to the whole group must not take the workers away while the training finishes its
    iteration, so they obey late; a training that is killed takes its workers with it at once.
    """
    if first is not None:
        first(worker)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))  # whose default ends it
    die_with(parent)


def prepare(loader: DataLoader) -> None:
    """Have the workers that a loader will start set up as this module says.

    The seed that torch draws for them comes from a generator of the loader's own: starting workers
    leaves the random numbers of the training alone.
    """
    loader.generator = torch.Generator().manual_seed(0)
    loader.worker_init_fn = partial(_begin, loader.worker_init_fn, os.getpid())


def end(iterator: object) -> None:
    """End the workers of a loader's iterator, if it has any, and do not wait for a busy one."""
    if hasattr(iterator, '_shutdown_workers'):
        iterator._shutdown_workers()
        for worker in iterator._workers:
            if worker.is_alive():
                worker.kill()
