"""Checkpoints that appear whole, replace older ones only then, and hold no code."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import BaseLoop
from mmseg.registry import HOOKS

from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_whole


@register_backend('whole_file')
class WholeFileBackend(LocalBackend):
    """mmengine's access to local files, with writes that succeed completely or not at all."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj``; on failure what was there before stays."""
        with write_whole(filepath) as file:
            file.write(obj)


class _LateRemoval(WholeFileBackend):
    """Keeps in mind what is to be removed until something has been saved in its place."""

    def __init__(self):
        self.due: list[str] = []

    def remove(self, filepath: str | Path) -> None:
        """Note a file that is superseded."""
        self.due.append(str(filepath))

    def remove_due(self, keep: set[str | None]) -> None:
        """Remove the superseded files, but for those written again."""
        for path in set(self.due) - keep:
            Path(path).unlink(missing_ok=True)
        self.due.clear()


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's `CheckpointHook` that never leaves half a file, nor less than it found.

    mmengine writes in place and removes the old checkpoint before it writes the new one: a full
    disk or a killed process would cost the best or the only checkpoint. It also pickles the log's
    history as objects that refer to functions, which no safe loader accepts; here they are saved
    as tensors.

    Args:
        by_epoch: not possible: trainings go by iterations.
        out_dir: not possible: a run goes on from the checkpoints in its work folder.
        filename_tmpl: not possible, but for mmengine's ``iter_{}.pth``, which `claim` looks for.
        save_optimizer: not possible to leave out: a run goes on as it was.
        save_param_scheduler: likewise.
        **kwargs: as `CheckpointHook` takes them; ``backend_args`` is given by this class.

    Raises:
        ValueError: what is not possible is set.
        TypeError: there is no argument of that name.
    """

    best_ckpt_path: str | None = None
    _default_greater_keys = (*CheckpointHook._default_greater_keys, 'IoU')
    _saved: int | None = None  # iterations at the last checkpoint

    def __init__(
        self,
        by_epoch: bool = False,
        out_dir: str | Path | None = None,
        filename_tmpl: str | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        **kwargs,
    ):
        if by_epoch:
            raise ValueError('by_epoch: trainings go by iterations, and checkpoints as well')
        if out_dir is not None:
            raise ValueError(f'out_dir={str(out_dir)!r}: checkpoints lie in the --work-dir')
        if filename_tmpl not in (None, 'iter_{}.pth'):
            raise ValueError(
                f'filename_tmpl={filename_tmpl!r}: checkpoints are named iter_<N>.pth, by which '
                '--resume finds them'
            )
        if not (save_optimizer and save_param_scheduler):
            raise ValueError(
                'save_optimizer, save_param_scheduler: without these no run goes on as it was'
            )
        super().__init__(by_epoch=False, backend_args={'backend': 'whole_file'}, **kwargs)
        if self.args:  # mmengine would hand them on when the first checkpoint is written
            raise TypeError(f'{type(self).__name__} has no argument {next(iter(self.args))!r}')
        self.best_ckpt_path_dict = getattr(self, 'best_ckpt_path_dict', {})  # of several metrics

    def before_run(self, runner) -> None:
        """Make sure that the evaluation gives what the best checkpoint is chosen by.

        Raises:
            UserError: it does not.
        """
        evaluates = isinstance(runner._val_loop, BaseLoop)  # the property would build it for a test
        metrics = runner.val_loop.evaluator.metrics if evaluates else []
        if metrics and all(hasattr(metric, 'names') for metric in metrics):
            self._check_indicators([name for metric in metrics for name in metric.names()])

    def _check_indicators(self, names: Iterable[str]) -> None:
        missing = {*(self.key_indicators if self.save_best else ())} - {'auto', *names}
        if missing:
            means = [name for name in names if 'IoU.' not in name]
            raise UserError(
                f'default_hooks.checkpoint.save_best is {min(missing)!r}, but an evaluation gives '
                f'{", ".join(means)} and the IoU.<class> of each class that its labels have: name '
                'one of these, or None'
            )

    def before_train(self, runner) -> None:
        """Prepare the folder, with removals put off."""
        super().before_train(runner)
        self.file_backend = _LateRemoval()
        # a copied or moved run must not remove the other folder's files
        if self.best_ckpt_path:
            self.best_ckpt_path = self._here(self.best_ckpt_path)
        for name, path in self.best_ckpt_path_dict.items():
            self.best_ckpt_path_dict[name] = path and self._here(path)

    def _here(self, path: str) -> str:
        return str(Path(self.out_dir) / Path(path).name)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Replace each history of the log by its values and counts, numpy's numbers by Python's.

        Raises:
            UserError: the weights are not finite; checkpoints written before stay.
        """
        bad = [k for k, v in checkpoint['state_dict'].items() if not torch.isfinite(v).all()]
        if bad:
            raise UserError(
                f'after {checkpoint["meta"]["iter"]} iterations {len(bad)} weights are not finite, '
                f'for example {bad[0]}: training has diverged, and no checkpoint is written. The '
                f'last good one is {last_checkpoint(runner.work_dir) or "none"}; start again in '
                'another --work-dir with a lower learning rate'
            )
        info = checkpoint['message_hub']['runtime_info']
        info.update({k: v.item() for k, v in info.items() if isinstance(v, np.generic)})
        scalars = checkpoint['message_hub']['log_scalars']
        for name, history in scalars.items():
            values, counts = history.data
            scalars[name] = torch.from_numpy(values), torch.from_numpy(counts)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put histories in the place of their values and counts."""
        scalars = checkpoint.get('message_hub', {}).get('log_scalars', {})
        for name, history in scalars.items():
            if isinstance(history, tuple):
                values, counts = (tensor.cpu().numpy() for tensor in history)
                scalars[name] = HistoryBuffer(values, counts)

    def after_train(self, runner) -> None:
        """Save a training that was ended before its last iteration (`EarlyStoppingHook`)."""
        if runner.iter < runner.max_iters:
            self.save_now(runner, runner.iter)
        super().after_train(runner)

    def save_now(self, runner, iterations: int) -> None:
        """Save a checkpoint after so many iterations, unless there is one already."""
        if self._saved != iterations:
            meta = {'epoch': runner.epoch, 'iter': iterations}
            self._save_checkpoint_with_step(runner, iterations, meta)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        # a point of our own: in all processes, and not for the best one, which is a copy
        runner.call_hook('before_checkpoint', iterations=step)
        super()._save_checkpoint_with_step(runner, step, meta)
        self._saved = step
        self._tidy()

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        self._check_indicators(metrics)
        # Without a last checkpoint mmengine does not write that one again, with the evaluation in
        # its log: a resumed run makes the evaluation of its checkpoint, and would have it twice.
        last, self.last_ckpt = self.last_ckpt, None
        super()._save_best_checkpoint(runner, metrics)
        self.last_ckpt = last
        self._tidy()

    def _tidy(self) -> None:
        best = self.best_ckpt_path_dict.values()
        self.file_backend.remove_due({self.last_ckpt, self.best_ckpt_path, *best})


def counting_score(savers: Sequence[WholeCheckpointHook]) -> str:
    """Return the name of the score by which savers keep the best checkpoint."""
    named = [hook.key_indicators[0] for hook in savers if hook.save_best]
    return named[0] if named and named[0] != 'auto' else 'mIoU'
