"""Being told to stop: the iteration is finished, a checkpoint is written, the status says so."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce, get_comm_device, get_world_size
from mmengine.hooks import Hook

from mmseg_uvpt.datasets import loader_workers
from mmseg_uvpt.engine.hooks.whole_checkpoint import WholeCheckpointHook
from mmseg_uvpt.errors import STOPPED, STOPPING
from mmseg_uvpt.processes import handling


class Stopped(SystemExit):
    """The training was told to stop; the process exits with status `errors.STOPPED`."""

    def __init__(self):
        super().__init__(STOPPED)


class Interruption:
    """What was asked of this process by a signal.

    Attributes:
        name: of the signal; empty until one arrives.
        training: whether there is an iteration to finish. Before that a signal stops at once.
    """

    def __init__(self):
        self.name = ''
        self.training = False

    def _receive(self, number: int, frame: object) -> None:
        self.name = signal.Signals(number).name
        if not self.training:
            print(f'stopped by {self.name} before training began', file=sys.stderr)
            raise Stopped

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the signals within a block; other threads than the main one cannot."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with handling(STOPPING, self._receive):
            yield


class InterruptionHook(Hook):
    """Stops the training where it was asked to: after an iteration, or within an evaluation.

    Args:
        interruption: which listens.
        savers: hooks that write the checkpoint to go on from.
        cure: how to go on, said in the log.
    """

    priority = 'LOWEST'

    def __init__(
        self,
        interruption: Interruption,
        savers: Sequence[WholeCheckpointHook] = (),
        cure: str = 'go on with the same command and --resume',
    ):
        self.interruption = interruption
        self._savers = savers
        self._cure = cure

    def before_run(self, runner) -> None:
        """Set up the loaders, none of whose workers runs yet."""
        for loop in filter(None, (runner.train_loop, runner.val_loop)):
            loader_workers.prepare(loop.dataloader)

    def before_train_epoch(self, runner) -> None:
        """Finish iterations from here on."""
        self.interruption.training = True

    def after_train_iter(self, runner, *args: object, **kwargs: object) -> None:
        """Stop if one of the processes was told to."""
        asked = bool(self.interruption.name)
        if get_world_size() > 1:
            flag = torch.tensor(int(asked), device=get_comm_device())
            all_reduce(flag, 'max')
            asked = bool(flag)
        if asked:
            self._stop(runner, runner.iter + 1)

    def after_val_iter(self, runner, *args: object, **kwargs: object) -> None:
        """Stop within an evaluation, which a resumed run repeats.

        Several processes go on to the next iteration: their evaluations differ in length.
        """
        if self.interruption.name and self.interruption.training and get_world_size() == 1:
            self._stop(runner, runner.iter)

    def _stop(self, runner, iterations: int) -> None:
        for saver in self._savers:
            saver.save_now(runner, iterations)
        name = self.interruption.name or 'a signal to another process'
        runner.logger.warning(
            f'stopped by {name} after {iterations} iterations, exit status {STOPPED}: {self._cure}'
        )
        raise Stopped
