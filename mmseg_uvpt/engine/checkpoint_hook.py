"""Checkpoints that appear whole, and replace older ones only then."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmseg.registry import HOOKS

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
    disk or a killed process would cost the best or the only checkpoint.

    Args:
        **kwargs: as `CheckpointHook` takes them; ``backend_args`` is given by this class.
    """

    def __init__(self, **kwargs):
        super().__init__(backend_args={'backend': 'whole_file'}, **kwargs)

    def before_train(self, runner) -> None:
        """Prepare the folder, with removals put off."""
        super().before_train(runner)
        self.file_backend = _LateRemoval()

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        super()._save_checkpoint_with_step(runner, step, meta)
        self._tidy()

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self._tidy()

    def _tidy(self) -> None:
        best = getattr(self, 'best_ckpt_path_dict', {}).values()
        self.file_backend.remove_due({self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best})
