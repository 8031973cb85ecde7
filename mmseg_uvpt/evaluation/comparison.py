"""Whether an adapted model is better than its source model on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from prettytable import PrettyTable

from mmseg_uvpt.evaluation.bootstrap import FEWEST, LEVEL, Interval, mean_iou_difference_interval
from mmseg_uvpt.evaluation.score import Score, or_none, percent


class Difference(NamedTuple):
    """Scores of two models in percent; NaN where there is none.

    Attributes:
        source: of the source model.
        adapted: of the adapted one.
        interval: of adapted minus source by paired bootstrap over the images; None where fewer
            than five of them have a pixel of the classes (`FEWEST`).
    """

    source: float
    adapted: float
    interval: Interval | None

    @property
    def points(self) -> float:
        """How far adapted is above source."""
        return self.adapted - self.source

    def cells(self) -> list[str]:
        """Return the four values as text, a dash for what there is not."""
        points = f'{self.points:+.2f}' if or_none(self.points) is not None else '-'
        bounds = _bounds(self.interval) if self.interval else '-'
        return [percent(self.source), percent(self.adapted), points, bounds]

    def to_json(self) -> dict:
        """Return plain JSON values; what has no value is null."""
        values = {'source': self.source, 'adapted': self.adapted, 'difference': self.points}
        return {name: or_none(value) for name, value in values.items()} | {
            'interval': self.interval
        }


@dataclass(frozen=True)
class Comparison:
    """The scores of a source model and of one adapted from it.

    Args:
        source: of the source model.
        adapted: of the adapted model, on the same images in the same order.
        judged: size of the class set that `sentence` is about.
    """

    source: Score
    adapted: Score
    judged: int

    @classmethod
    def by(cls, score: str | None, source: Score, adapted: Score) -> 'Comparison':
        """Return a comparison judged by a mean such as ``mIoU16``, else by that of all classes."""
        sizes = {f'mIoU{size}': size for size in source.means}
        return cls(source, adapted, sizes.get(score, len(source.classes)))

    @cached_property
    def means(self) -> dict[int, Difference]:
        """Size of each class set to the difference of mean IoU."""
        return {
            size: Difference(mean, self.adapted.means[size], self._interval(ids))
            for (size, mean), ids in zip(
                self.source.means.items(), self.source.subsets.values(), strict=True
            )
        }

    @cached_property
    def classes(self) -> dict[str, Difference]:
        """Name of each class to the difference of its IoU."""
        pairs = zip(self.source.iou.tolist(), self.adapted.iou.tolist(), strict=True)
        return {
            name: Difference(*pair, self._interval([i]))
            for i, (name, pair) in enumerate(zip(self.source.classes, pairs, strict=True))
        }

    def _interval(self, ids: Sequence[int]) -> Interval | None:
        bounds = mean_iou_difference_interval(self.adapted.counts, self.source.counts, ids)
        return bounds and bounds.in_percent()

    def sentence(self) -> str:
        """Return in words which model is better, if the images can tell."""
        found = self.means[self.judged]
        name = 'mIoU' if self.judged == len(self.source.classes) else f'mIoU{self.judged}'
        if found.interval is None:
            ids = self.source.subsets[self.judged]
            labelled = _images(self.source.counts.truth[:, ids].any(axis=1).sum())
            return f'{labelled} with labels cannot tell adapted from source: take {FEWEST} or more'
        images, bounds = _images(self.source.frames), _bounds(found.interval)
        if found.interval.low <= 0 <= found.interval.high:
            return (
                f'no difference between adapted and source can be told from {images} '
                f'({LEVEL} % interval: {bounds} {name})'
            )
        which = 'better' if found.interval.low > 0 else 'worse'
        return (
            f'adapted is {which} than source by {abs(found.points):.2f} {name} '
            f'({LEVEL} % interval: {bounds}), {images}'
        )

    def table(self) -> str:
        """Return all differences as text for the console, and the sentence."""
        table = PrettyTable(['', 'source', 'adapted', 'difference', f'{LEVEL} % interval'])
        table.align = 'r'
        table.align[''] = 'l'
        last = self.source.classes[-1]
        for name, found in self.classes.items():
            table.add_row([name, *found.cells()], divider=name == last)
        for size, found in self.means.items():
            table.add_row([f'mIoU{size}', *found.cells()])
        return f'{table}\n{self.sentence()}'

    def to_json(self) -> dict:
        """Return everything as plain JSON values."""
        return {
            **{f'mIoU{size}': found.to_json() for size, found in self.means.items()},
            'IoU': {name: found.to_json() for name, found in self.classes.items()},
            'frames': self.source.frames,
            'sentence': self.sentence(),
        }


def _bounds(interval: Interval) -> str:
    return f'{interval.low:+.2f} to {interval.high:+.2f}'


def _images(number: int) -> str:
    return f'{number} image' if number == 1 else f'{number} images'
