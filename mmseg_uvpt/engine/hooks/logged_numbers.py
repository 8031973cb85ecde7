"""Losses for the log, which are read from a GPU only when the log has its turn."""

from collections.abc import Sequence

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmseg.registry import HOOKS


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's `RuntimeInfoHook` that does not wait for a GPU in every iteration.

    The message hub gets the numbers of all iterations since the last time, in their order, before
    `LoggerHook` logs and before a checkpoint is written.

    Attributes:
        loggers: hooks that log.
    """

    loggers: Sequence[LoggerHook] = ()

    def __init__(self) -> None:
        self._waiting: list[dict] = []  # of the iterations since

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Take what the model returned for the log, unless the iteration was skipped."""
        if outputs and 'skipped' not in outputs:
            self._waiting.append({k: v for k, v in outputs.items() if k != 'no_step'})
        if any(_logs(logger, runner, batch_idx) for logger in self.loggers):
            self._hand_over(runner)

    def before_checkpoint(self, runner, iterations: int) -> None:
        """Hand over what the checkpoint shall hold."""
        self._hand_over(runner)

    def after_train(self, runner) -> None:
        """Hand over the rest."""
        self._hand_over(runner)
        super().after_train(runner)

    def _hand_over(self, runner) -> None:
        items = [item for outputs in self._waiting for item in outputs.items()]
        self._waiting.clear()
        if items:
            # together, so that they are waited for once
            values = torch.stack([torch.as_tensor(value).double() for _, value in items]).tolist()
            for (name, _), value in zip(items, values, strict=True):
                runner.message_hub.update_scalar(f'train/{name}', value)


def _logs(hook: LoggerHook, runner, batch_idx: int) -> bool:
    """Tell whether mmengine's `LoggerHook` may log after an iteration."""
    at_end = hook.end_of_epoch(runner.train_dataloader, batch_idx)
    return at_end or hook.every_n_inner_iters(batch_idx, hook.interval)
