"""One function over many files in several processes, of which any may die."""

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mmseg_uvpt.processes import die_with

Item = TypeVar('Item')
Result = TypeVar('Result')


def run_each(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    nproc: int,
    on_death: Callable[[Item], Result],
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` for each item, in the order in which they are done.

    When a worker dies (killed for its memory, a fault in a decoder), every item that was under
    way is tried once more in a process of its own; one that dies again yields ``on_death(item)``,
    and the rest goes on.

    Args:
        work: a function of a module, so that another process can import it.
        items: what to work on; they and the results must be picklable.
        nproc: number of processes; 1 works in this one.
        on_death: makes the result of an item that kills its worker.

    Raises:
        Exception: whatever ``work`` raises ends the run. So does Ctrl-C; the workers never see it
            and finish the files they are at.
    """
    if nproc == 1:
        yield from map(work, items)
        return
    waiting = deque(items)
    while waiting:
        for item in (yield from _until_a_death(work, waiting, min(nproc, len(waiting)))):
            if (yield from _until_a_death(work, deque([item]), 1)):
                yield on_death(item)


def _until_a_death(
    work: Callable[[Item], Result], waiting: deque[Item], nproc: int
) -> Generator[Result, None, list[Item]]:
    """Work through ``waiting``; return the items that were under way when a worker died."""
    under_way: dict[Future, Item] = {}
    # Fresh interpreters: a forked copy of a process with threads (OpenCV, torch) may hang.
    context = multiprocessing.get_context('spawn')
    # die_with: left alone, a worker would wait for work for ever
    pool = ProcessPoolExecutor(nproc, context, die_with, (os.getpid(),))
    died = False
    try:
        while (waiting or under_way) and not died:
            while waiting and len(under_way) < 2 * nproc and not died:
                item = waiting.popleft()
                try:
                    with _interrupts_held_back():
                        under_way[pool.submit(work, item)] = item
                except BrokenProcessPool:
                    waiting.appendleft(item)
                    died = True
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                try:
                    result = future.result()
                except BrokenProcessPool:
                    died = True
                else:
                    del under_way[future]
                    yield result
    finally:
        pool.shutdown(cancel_futures=True)
    return list(under_way.values())


@contextlib.contextmanager
def _interrupts_held_back() -> Generator[None, None, None]:
    """Deliver Ctrl-C only after the block; processes started within never receive it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
