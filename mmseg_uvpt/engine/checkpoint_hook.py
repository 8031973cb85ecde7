"""Checkpoints that appear whole, replace older ones only then, and hold no code."""

from pathlib import Path

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmseg.registry import HOOKS

from mmseg_uvpt.engine.run_folder import last_checkpoint
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
        save_best: name of the one metric by which the best checkpoint is kept; None for none.
        **kwargs: as `CheckpointHook` takes them; ``backend_args`` is given by this class.
    """

    best_ckpt_path: str | None = None
    _saved: int | None = None  # iterations at the last checkpoint

    def __init__(self, save_best: str | None = None, **kwargs):
        super().__init__(save_best=save_best, backend_args={'backend': 'whole_file'}, **kwargs)

    def before_train(self, runner) -> None:
        """Prepare the folder, with removals put off."""
        super().before_train(runner)
        self.file_backend = _LateRemoval()
        if self.best_ckpt_path:  # a copied or moved run must not remove the other folder's file
            self.best_ckpt_path = str(Path(self.out_dir) / Path(self.best_ckpt_path).name)

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
        missing = {*(self.key_indicators or ())} - {'auto', *metrics}
        if missing:
            raise UserError(
                f'default_hooks.checkpoint.save_best is {min(missing)!r}, but an evaluation gives '
                f'{", ".join(metrics)}: name one of these, or None'
            )
        # Without a last checkpoint mmengine does not write that one again, with the evaluation in
        # its log: a resumed run makes the evaluation of its checkpoint, and would have it twice.
        last, self.last_ckpt = self.last_ckpt, None
        super()._save_best_checkpoint(runner, metrics)
        self.last_ckpt = last
        self._tidy()

    def _tidy(self) -> None:
        self.file_backend.remove_due({self.last_ckpt, self.best_ckpt_path})
