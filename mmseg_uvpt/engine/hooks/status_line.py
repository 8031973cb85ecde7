"""How far a training is: a line on the terminal that stays while the log goes by, or some lines."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from mmseg_uvpt.engine.hooks.whole_checkpoint import WholeCheckpointHook, counting_score
from mmseg_uvpt.progress import progress


class StatusLineHook(Hook):
    """Shows iteration, time left, loss and last score on a terminal's last line, in process 0.

    Elsewhere ten lines or fewer on stderr tell of iterations and time left. Loss and score are the
    log's, as it last had them, so nothing is waited for. The time left is that of a mean iteration
    so far, evaluations included.

    Args:
        savers: hooks that say by ``save_best`` which score counts.
    """

    priority = 'LOWEST'

    def __init__(self, savers: Sequence[WholeCheckpointHook] = ()) -> None:
        self._savers = savers
        self._bar: tqdm | None = None
        self._lines: Iterator[int] = iter(())
        self._open = ExitStack()

    def before_train_epoch(self, runner: Runner) -> None:
        """Draw the line, and have what is logged printed above it."""
        if not is_main_process():
            return
        if not sys.stderr.isatty():
            left = range(runner.iter, runner.max_iters)
            self._lines = progress(left, 'training', 'iteration', runner.max_iters, runner.iter)
            next(self._lines, None)
            return
        for handler in runner.logger.handlers:
            if type(handler) is logging.StreamHandler:
                printed = handler.setStream(DummyTqdmFile(handler.stream))
                self._open.callback(handler.setStream, printed)
        self._bar = self._open.enter_context(
            tqdm(
                desc='training',
                total=runner.max_iters,
                initial=runner.iter,
                dynamic_ncols=True,
                smoothing=0,
                leave=False,
            )
        )

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Count the iteration."""
        next(self._lines, None)
        if self._bar is None:
            return
        scalars, score = runner.message_hub.log_scalars, counting_score(self._savers)
        shown = {}
        if losses := scalars.get('train/loss'):
            shown['loss'] = f'{losses.mean(runner.log_processor.window_size):.4f}'
        if scores := scalars.get(f'val/{score}'):
            shown[score] = f'{scores.current():.2f}'
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Remove the line, however the training ended."""
        self._open.close()
