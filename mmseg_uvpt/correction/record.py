"""What the label correction did, in tables that a report can plot.

``label_correction.csv`` has a row for each class that something happened to, at each decision:

- ``iteration``: counted from 0; the decision was taken after it.
- ``class``: its name.
- ``event``: ``start``, ``stop``, ``restart`` (stopped and started at once), empty for a class
  that goes on as it was, and ``end`` for what changed between the last decision and the end.
- ``threshold``: confidence at which a prediction of this class is trusted from now on.
- ``pixels_changed``: pixels of the bank that became this class since the row before.
- ``iou``: IoU of predictions and labels, empty where the curve has no point.

``label_correction_curve.csv`` has a row for each point of each class's curve: ``iteration``,
``class``, ``iou``.

``label_correction_truth.csv``, where the truth of the training images is known (``truth_dir``), has
a row for each class at the beginning, at each evaluation and at the end (``event``: ``begin``,
empty, ``end``): ``iterations`` trained so far, ``class``, ``iou`` of the bank's labels against the
truth, and the pixels that became this class since the beginning: from wrong or without a label to
right (``mended``), from right or without a label to wrong (``spoilt``), or from one wrong class to
another (``still_wrong``).
"""

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_uvpt.correction.rule import Decision
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.iou import mean_iou
from mmseg_uvpt.files import read_bytes, regular, why_unreadable, write_whole

EVENTS = 'label_correction.csv'
CURVE = 'label_correction_curve.csv'
TRUTH = 'label_correction_truth.csv'
_NUMBER = re.compile(r'[0-9]{1,18}')
_CURE = 'move it away, then resume the run; what it noted so far is lost with it'
COLUMNS = {
    EVENTS: ('iteration', 'class', 'event', 'threshold', 'pixels_changed', 'iou'),
    CURVE: ('iteration', 'class', 'iou'),
    TRUTH: ('iterations', 'class', 'event', 'iou', 'mended', 'spoilt', 'still_wrong'),
}


@dataclass(frozen=True)
class Comparison:
    """The labels of a bank against the truth, over all pixels that the truth counts.

    A pixel without a label (255) is not right: its class has missed it.

    Attributes:
        first: (C,) IoU in 0..1 of the labels that the bank began with; NaN of a class that the
            truth lacks.
        now: (C,) likewise of its current labels.
        mended: (C,) int64, pixels that became a class and are right, as they were not before.
        spoilt: (C,) int64, pixels that became a class and are wrong, as they were not before: they
            were right, or had no label, on which nothing was trained.
        still_wrong: (C,) int64, pixels that became a class, another wrong one than before.
    """

    first: np.ndarray
    now: np.ndarray
    mended: np.ndarray
    spoilt: np.ndarray
    still_wrong: np.ndarray

    def sentence(self) -> str:
        """Say what became of the labels, and so whether the correction is right."""
        mended, spoilt = self.mended.sum(), self.spoilt.sum()
        return (
            f'mIoU of the labels {100 * _mean(self.first):.2f} -> {100 * _mean(self.now):.2f}, '
            f'{mended} pixels mended, {spoilt} spoilt'
            + (': the correction spoils more than it mends' if spoilt > mended else '')
        )


def read_rows(path: Path) -> list[dict]:
    """Return the rows of a table; the last line of a killed run may be cut short.

    Cut short, it may still look whole.

    Raises:
        OSError, ValueError, csv.Error: it cannot be read.
    """
    text = read_bytes(path).decode()
    return list(csv.DictReader(io.StringIO(text[: text.rfind('\n') + 1], newline='')))


def _mean(iou: np.ndarray) -> float:
    """Return the mean over the classes that the truth has."""
    return mean_iou(iou, ~np.isnan(iou), range(len(iou)))


class CorrectionRecord:
    """Writes the tables, and sums up each decision in words and as scalars.

    Args:
        folder: the work folder.
        classes: names of the classes.
        has_truth: whether there is a table of comparisons with the truth.

    Attributes:
        pixels_changed: (C,) int64, pixels that became each class since the last rows.
    """

    def __init__(self, folder: str | Path, classes: Sequence[str], has_truth: bool = False) -> None:
        self._folder = Path(folder)
        self._classes = classes
        self._tables = (EVENTS, CURVE, *((TRUTH,) if has_truth else ()))
        self.pixels_changed = np.zeros(len(classes), np.int64)

    def begin(self) -> None:
        """Begin the tables anew."""
        self._rewrite({name: [] for name in self._tables})

    def resume(self, iteration: int) -> None:
        """Drop rows of later iterations than ``iteration``: they will be written again.

        The ``end`` of a run that now goes on is dropped, too.
        """
        last = {name: iteration + (name == TRUTH) for name in self._tables}
        self._rewrite({name: self._rows(name, last[name]) for name in self._tables})

    def _rows(self, name: str, last: int) -> list[list[str]]:
        """Return the rows of a table up to a number; those of a killed run may be cut short."""
        path = self._folder / name
        if not os.path.lexists(path):
            return []
        try:
            found = read_rows(path)
        except OSError as error:
            raise UserError(f'{path} {why_unreadable(path, error)}: {_CURE}') from error
        except (ValueError, csv.Error) as error:
            raise UserError(f'{path} is damaged ({error}): {_CURE}') from error
        if found and not set(COLUMNS[name]) <= found[0].keys():
            raise UserError(f'{path} lacks columns of {", ".join(COLUMNS[name])}: {_CURE}')
        return [
            [row[column] or '' for column in COLUMNS[name]]
            for row in found
            if _NUMBER.fullmatch(row[COLUMNS[name][0]] or '')
            and int(row[COLUMNS[name][0]]) <= last
            and row.get('event') != 'end'
        ]

    def decided(
        self, iteration: int, decision: Decision, correcting: np.ndarray, thresholds: np.ndarray
    ) -> str | None:
        """Write the rows of a decision.

        Args:
            iteration: counted from 0.
            decision: what was decided after it.
            correcting: (C,) bool, classes that are corrected from now on.
            thresholds: (C,) confidences from now on.

        Returns:
            The decision in one sentence, or None if nothing changed and nothing is corrected.
        """
        point = decision.point
        if point is not None:
            self._append(CURVE, [(iteration, c, v) for c, v in self._named(point)])
        events = self._events(decision)
        rows = []
        for i, name in enumerate(self._classes):
            if name in events or correcting[i] or self.pixels_changed[i]:
                iou = '' if point is None or np.isnan(point[i]) else f'{point[i]:.6f}'
                threshold = f'{thresholds[i]:.6f}'
                changed = self.pixels_changed[i]
                rows.append((iteration, name, events.get(name, ''), threshold, changed, iou))
        if not rows:
            return None
        self._append(EVENTS, rows)
        sentence = self._sentence(iteration, events, correcting, thresholds)
        self.pixels_changed[:] = 0
        return sentence

    def ended(self, iteration: int) -> None:
        """Write what changed after the last decision."""
        rows = [
            (iteration, name, 'end', '', changed, '')
            for name, changed in zip(self._classes, self.pixels_changed, strict=True)
            if changed
        ]
        self._append(EVENTS, rows)

    def compared(self, iterations: int, event: str, found: Comparison) -> None:
        """Write the rows of a comparison with the truth after so many iterations."""
        became = (found.mended, found.spoilt, found.still_wrong)
        rows = [
            (iterations, name, event, '' if np.isnan(iou) else f'{iou:.6f}', *pixels)
            for name, iou, *pixels in zip(self._classes, found.now.tolist(), *became, strict=True)
        ]
        self._append(TRUTH, rows)

    def scalars(self, decision: Decision, correcting: np.ndarray) -> dict[str, float]:
        """Return the numbers to plot after a decision; call it before `decided`."""
        scalars = {
            'label_correction/classes_correcting': int(correcting.sum()),
            'label_correction/pixels_changed': int(self.pixels_changed.sum()),
        }
        if decision.point is not None:
            named = self._named(decision.point)
            scalars.update({f'label_correction_iou/{c}': float(v) for c, v in named})
        return scalars

    def _named(self, point: np.ndarray) -> list[tuple[str, float]]:
        pairs = zip(self._classes, point.round(6).tolist(), strict=True)
        return [(name, value) for name, value in pairs if not np.isnan(value)]

    def _events(self, decision: Decision) -> dict[str, str]:
        events = {self._classes[i]: 'stop' for i in decision.stopped}
        for i in decision.started:
            events[self._classes[i]] = 'restart' if i in decision.stopped else 'start'
        return events

    def _sentence(
        self,
        iteration: int,
        events: dict[str, str],
        correcting: np.ndarray,
        thresholds: np.ndarray,
    ) -> str:
        parts = [f'{event} {name}' for name, event in events.items()]
        active = [
            f'{name} (confidence >= {threshold:.3f})'
            for name, on, threshold in zip(self._classes, correcting, thresholds, strict=True)
            if on
        ]
        changed = [
            f'{pixels} became {name}'
            for name, pixels in zip(self._classes, self.pixels_changed, strict=True)
            if pixels
        ]
        return (
            f'label correction after iteration {iteration}: {", ".join(parts) or "no change"}; '
            f'correcting {", ".join(active) or "nothing"}; '
            f'{self.pixels_changed.sum()} pixels changed since the last decision'
            + (f' ({", ".join(changed)})' if changed else '')
        )

    def _append(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        path = self._folder / name
        try:
            with open(path, 'a', newline='', opener=regular) as file:
                csv.writer(file).writerows(rows)
        except OSError as error:
            raise UserError(
                f'cannot write {path}: {error.strerror}. Free some space, then resume the run '
                'with --resume.'
            ) from error

    def _rewrite(self, tables: dict[str, list]) -> None:
        for name, rows in tables.items():
            with write_whole(self._folder / name, 'w') as file:
                csv.writer(file).writerows([COLUMNS[name], *rows])
