"""What an adaptation needs beside a model and photographs, derived from both."""

import math
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mmseg_uvpt.adapting import PUBLISHED
from mmseg_uvpt.adapting.photographs import SMALLEST, Survey
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.importing.config_files import learning_rate
from mmseg_uvpt.importing.source_model import PUBLISHED_SCALE, SourceModel
from mmseg_uvpt.processes import share_of_processors

_PUBLISHED_ITERATIONS = 80_000
_FEWEST_PLANNED = 240
_LARGEST_RATE = 1e-4  # with which _FEWEST_PLANNED were tried
_CANDIDATES = 3  # after the first iteration


class Row(NamedTuple):
    """A line of the table: what, its value, why it is that, and what sets another."""

    what: str
    value: str
    why: str
    option: str


@dataclass(frozen=True)
class Plan:
    """How a model is adapted.

    Attributes:
        method: ``'best'``, or ``'uni-uvpt'`` with its pseudo labels and their correction.
        size: (width, height) within which the network sees a photograph.
        size_from: why that.
        crop: (height, width) of what is trained on.
        iterations: of the training.
        batch_size: crops an iteration.
        learning_rate: of the scale weights; prompts have five times, the head ten times that.
        interval: iterations between two candidates of the selection.
        correction_interval: iterations between two corrections, of Uni-UVPT.
        queue_length: images that a correction looks at, of Uni-UVPT.
        workers: processes that read photographs.
        precision: ``'bfloat16'`` or ``'float32'``.
    """

    method: str
    size: tuple[int, int]
    size_from: str
    crop: tuple[int, int]
    iterations: int
    batch_size: int
    learning_rate: float
    interval: int
    correction_interval: int
    queue_length: int
    workers: int
    precision: str

    @property
    def momentum(self) -> float:
        """Of the mean teacher: 0.999 as published, and faster where few iterations follow."""
        return 1 - min(0.01, max(0.001, 2.4 / self.iterations))

    def rows(self, photographs: int, asked: Namespace) -> Iterator[Row]:
        """Yield the lines of the table.

        Args:
            photographs: how many different ones there are.
            asked: values of the command line.
        """
        return (_why(row, asked) for row in self._rows(photographs))

    def _rows(self, photographs: int) -> Iterator[Row]:
        looks = f'{self.iterations * self.batch_size / photographs:.1f} looks at each'
        few = ' (few: the rate is raised)' if self.iterations < _PUBLISHED_ITERATIONS else ''
        yield Row('method', self.method, 'docs/methods.md', '--method')
        yield Row('size', _text(self.size), self.size_from, '--size W H')
        yield Row('crop', _text(self.crop[::-1]), 'the shorter side of that', '--crop W H')
        yield Row('iterations', f'{self.iterations:,}', looks, '--iterations')
        yield Row('batch', str(self.batch_size), 'crops an iteration', '--batch-size')
        yield Row('learning rate', f'{self.learning_rate:.2g}', f'for so many{few}', '--lr')
        yield Row('candidates', f'every {self.interval:,}', 'one of them is chosen', '--interval')
        if self.method == PUBLISHED:
            every = f'every {self.correction_interval:,}'
            yield Row('correction', every, 'iterations', '--correction-interval')
            yield Row('its queue', f'{self.queue_length:,}', 'images', '--queue')
        yield Row('workers', str(self.workers), 'processes that read', '--workers')
        yield Row('precision', self.precision, 'what the device is good at', '--precision')


def derive(source: SourceModel, found: Survey, has_gpu: bool, asked: Namespace) -> Plan:
    """Return the plan for a model and photographs.

    Iterations are two looks at each photograph and at least 240, as many as the demo has. The
    learning rate grows with the root of 80,000 over them: it is the published one there, and 1e-4,
    with which the demo was tried, at 240.

    Args:
        source: the model.
        found: the photographs.
        has_gpu: whether there is a GPU.
        asked: values of the command line, None where nothing was asked for.

    Raises:
        UserError: the crop is larger than photographs are.
    """
    size = tuple(asked.size or source.scale or PUBLISHED_SCALE)
    side = min(size)
    if side < SMALLEST:
        raise UserError(
            f'--size {size[0]} {size[1]}: networks want {SMALLEST} pixels a side or more'
        )
    batch_size = asked.batch_size or max(2, source.batch_size)
    looks = math.ceil(2 * found.distinct / batch_size)
    if asked.crop and max(asked.crop) > side:
        raise UserError(
            f'--crop {asked.crop[0]} {asked.crop[1]}: photographs are seen with a shorter side of '
            f'{side} pixels, so neither can be larger; --size W H changes that'
        )
    iterations = asked.iterations or min(_PUBLISHED_ITERATIONS, max(_FEWEST_PLANNED, looks))
    rate = learning_rate(source) * math.sqrt(_PUBLISHED_ITERATIONS / iterations)
    return Plan(
        method=asked.method,
        size=size,
        size_from='as the source model was tested' if source.scale else 'of the published recipes',
        crop=tuple(asked.crop[::-1]) if asked.crop else (side, side),
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=asked.lr or float(f'{min(_LARGEST_RATE, rate):.2g}'),
        interval=asked.interval or math.ceil(iterations / _CANDIDATES),
        # as published, 200 of 80,000 iterations and 1,000 of 2,975 images; in the demo 10 and 60
        correction_interval=asked.correction_interval or min(200, max(1, iterations // 24)),
        queue_length=asked.queue or min(1000, max(1, len(found.used) // 4)),
        workers=asked.workers or max(1, min(4, share_of_processors() - 1)),
        precision=asked.precision or ('bfloat16' if has_gpu else 'float32'),
    )


def _why(row: Row, asked: Namespace) -> Row:
    """Return a row that says so where its value was asked for."""
    name = row.option.split()[0].lstrip('-').replace('-', '_')
    is_own = getattr(asked, name, None) is not None and name != 'method'
    return row._replace(why='as you asked') if is_own else row


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'
