"""Offline label correction: when a class is corrected is read off the curve of an earlier run.

Source: the published code's flag ``--pseudo-update offline``; formulas in docs/method.md, "Variants
of the correction".
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.correction.record import COLUMNS, CURVE, read_rows
from mmseg_uvpt.correction.rule import Decision, LabelCorrectionRule
from mmseg_uvpt.correction.slope import relative_slope_changes
from mmseg_uvpt.datasets.seeded_batches import data_set_of
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import why_unreadable

NEVER = np.inf


class RecordedCurve(NamedTuple):
    """The curve of an earlier run.

    Attributes:
        interval: iterations between two points.
        values: (T, C) IoU in 0..1, NaN in the gaps.
    """

    interval: int
    values: np.ndarray


class OfflineCorrectionRule(LabelCorrectionRule):
    """Correct each class from a known iteration on, and never stop.

    Curve and state are those of the online rule, so the record of such a run may serve another.

    Args:
        begins: (C,) iteration, counted from 0, after which a class is corrected, `NEVER` for none.
        epoch_length: iterations an epoch; nothing is corrected in the first one.
        interval: iterations between two decisions; begins are multiples of it.
        queue_length: images over which an IoU is taken.
        confidence: above which predictions are trusted; 0..1.
    """

    def __init__(
        self,
        begins: Sequence[float],
        epoch_length: int,
        interval: int,
        queue_length: int = 1000,
        confidence: float = 0.8,
    ) -> None:
        super().__init__(len(begins), epoch_length, interval, queue_length)
        del self._settings['slope']  # of the online rule
        self._settings['confidence'] = confidence
        self._settings |= {f'beginning of class {c}': float(x) for c, x in enumerate(begins)}
        self.begins = np.array(begins, float)
        # a confidence above the number is one of at least the next number
        self.thresholds[:] = np.nextafter(np.float32(confidence), np.float32(np.inf))

    def earliest_start(self, images: int) -> float:
        """Return the first of the known beginnings, whatever ``images``; `NEVER` without one."""
        return max(self.begins.min(), self.epoch_length - 1)

    def decide(self, iteration: int, thresholds: np.ndarray | None = None) -> Decision:
        """Extend the curve, and start the classes whose time has come; ``thresholds`` stay."""
        point = self._extend_curve()
        started = np.flatnonzero(~self.correcting & (iteration >= self.begins)).tolist()
        self.correcting[started] = True
        self._started_at[started] = iteration
        return Decision(point, started, [])

    def load_state_dict(self, state: dict[str, Any], other_settings: bool = False) -> None:
        """Do as the online rule, whose thresholds change: these are a setting."""
        thresholds = self.thresholds
        super().load_state_dict(state, other_settings)
        self.thresholds = thresholds


@HOOKS.register_module()
class OfflineLabelCorrectionHook(LabelCorrectionHook):
    """A `LabelCorrectionHook` by `OfflineCorrectionRule`.

    Decisions are taken at the interval of the record. ``interval``, ``slope`` and ``quantile``
    are settings of the online rule, which recipes name, and have no effect here.

    Args:
        record: work folder of an earlier run with online correction.
        slope_change: a class begins at the first point of its curve where the slope of the fitted
            cubic differs from that at its beginning by more than this share.
        confidence: above which predictions are trusted; 0..1.
        **kwargs: of `LabelCorrectionHook`.

    Raises:
        ValueError: ``confidence`` is out of its range.
    """

    def __init__(
        self,
        record: str | None = None,
        slope_change: float = 0.9,
        confidence: float = 0.8,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= confidence <= 1:
            raise ValueError(f'confidence must be in 0..1, not {confidence!r}')
        self.earlier_run = record
        self.slope_change = slope_change
        self.confidence = confidence
        self._classes: Sequence[str] = ()

    def before_train(self, runner: Runner) -> None:
        """Do as `LabelCorrectionHook`, with the beginnings from the record.

        Raises:
            UserError: the record is missing, damaged, empty or of other classes.
        """
        self._classes = data_set_of(runner.train_dataloader).metainfo['classes']
        super().before_train(runner)
        if is_main_process():
            runner.logger.info(_sentence(self._classes, self.rule.begins))

    def make_rule(self, epoch: int) -> OfflineCorrectionRule:
        """Return the rule; only rank 0, which corrects, needs the record."""
        begins, interval = np.full(self.num_classes, NEVER), self.interval
        if is_main_process():
            curve = read_curve(self.earlier_run, self._classes)
            begins, interval = begin_iterations(curve, self.slope_change), curve.interval
        return OfflineCorrectionRule(begins, epoch, interval, self.queue_length, self.confidence)


def begin_iterations(curve: RecordedCurve, slope_change: float = 0.9) -> np.ndarray:
    """Return when each class begins to be corrected.

    Args:
        curve: of an earlier run.
        slope_change: share by which the slope must have changed.

    Returns:
        (C,) x times the interval, x the number, from 1, of the first point of the class's curve at
        which its `relative_slope_changes` exceed ``slope_change``; `NEVER` without such a point.
        Gaps are left out of the fit, and counted in x.
    """
    begins = np.full(curve.values.shape[1], NEVER)
    for c, values in enumerate(curve.values.T):
        x = np.flatnonzero(~np.isnan(values))
        over = relative_slope_changes(values[x]) > slope_change
        if over.any():
            begins[c] = (x[over.argmax()] + 1) * curve.interval
    return begins


def read_curve(run: str | Path | None, classes: Sequence[str]) -> RecordedCurve:
    """Read the curve that an earlier run recorded.

    Args:
        run: its work folder.
        classes: names of the classes it must have had.

    Raises:
        UserError: the table is missing, damaged, of other classes, or has less than two points.
    """
    cure = 'record one with online correction first: python train.py CONFIG --work-dir RECORD, '
    cure += 'where label_correction.type is LabelCorrectionHook, and name it by '
    cure += 'default_hooks.label_correction.record=RECORD'
    if run is None:
        raise UserError(f'offline label correction needs the record of an earlier run: {cure}')
    path = Path(run) / CURVE
    try:
        rows = read_rows(path)
        points = {(int(r['iteration']), r['class']): _iou(r['iou']) for r in rows}
    except OSError as error:
        raise UserError(f'{path} {why_unreadable(path, error)}: {cure}') from error
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        columns = ', '.join(COLUMNS[CURVE])
        raise UserError(f'{path} is no table of {columns} ({error!r}): {cure}') from error
    if others := {name for _, name in points} - set(classes):
        raise UserError(
            f'{path} is of other classes: {min(others)!r} is none of {", ".join(classes)}; {cure}'
        )
    iterations = np.unique([iteration for iteration, _ in points])
    if len(iterations) < 2:
        raise UserError(
            f'{path} has {len(iterations)} points, from which no class would ever begin: that run '
            f'was too short for its queue (label_correction.queue_length); {cure}'
        )
    interval = int(np.diff(iterations).min())
    numbers = (iterations - iterations[0]) // interval
    values = np.full((numbers[-1] + 1, len(classes)), np.nan)
    for (iteration, name), iou in points.items():
        values[(iteration - iterations[0]) // interval, classes.index(name)] = iou
    return RecordedCurve(interval, values)


def _iou(text: str) -> float:
    if 0 <= (value := float(text)) <= 1:
        return value
    raise ValueError(f'an IoU of {text}')


def _sentence(classes: Sequence[str], begins: np.ndarray) -> str:
    pairs = [*zip(classes, begins, strict=True)]
    known = [f'{name} from iteration {begin:.0f}' for name, begin in pairs if begin < NEVER]
    never = [name for name, begin in pairs if begin == NEVER]
    return '; '.join(
        [
            f'offline label correction: {", ".join(known) or "of no class"}',
            *([f'never: {", ".join(never)}'] if never else []),
        ]
    )
