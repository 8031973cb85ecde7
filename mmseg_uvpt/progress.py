"""How far long work is: a bar on a terminal, elsewhere at most ten lines."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar('Item')
LINES = 10
APART = 2  # seconds from line to line, so that short work is told of once, at its end


def beside_log() -> bool:
    """Tell whether stderr is another file than stdout, so that a log there does not tell enough."""
    try:
        out, err = (os.fstat(stream.fileno()) for stream in (sys.stdout, sys.stderr))
    except (OSError, ValueError, AttributeError):  # of a notebook, which has no files
        return False
    return not os.path.samestat(out, err)


def progress(
    items: Iterable[Item], title: str, unit: str, total: int | None = None, done: int = 0
) -> Iterator[Item]:
    """Yield items, and tell on stderr how many of them were dealt with.

    Where nobody knows how many there are, as of a camera's frames, lines tell of 1, 2, 4, 8 and so
    on.

    Args:
        items: what is worked on.
        title: what is done to them.
        unit: what they are, in the singular.
        total: how many there are with those that were done before; by default ``len(items)``, if
            they have one.
        done: how many were done before.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, title, total, initial=done, unit=unit)
        return
    units = f'{unit}es' if unit.endswith('ch') else f'{unit}s'
    began = told = time.monotonic()
    is_told, number = True, 0
    for number, item in enumerate(items, 1):
        yield item
        now, clock = done + number, time.monotonic()
        if total is None:
            is_due = now & (now - 1) == 0
        else:
            is_due = now * LINES // total > (now - 1) * LINES // total
        is_told = now == total or (is_due and clock >= told + APART)
        if is_told:
            told, how_far = clock, f'{now} {units}'
            if total is not None:
                left = timedelta(seconds=round((clock - began) / number * (total - now)))
                how_far = f'{now}/{total} {units}, {left} left'
            print(f'{title}: {how_far}', file=sys.stderr, flush=True)
    if not is_told:  # nobody knew that it was the last one
        print(f'{title}: {done + number} {units}', file=sys.stderr, flush=True)
