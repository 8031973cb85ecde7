"""Iterations whose loss or gradient is not finite change nothing, and end a run if they go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from mmengine.dist import all_gather_object, all_reduce, get_comm_device, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from mmseg_uvpt.acceleration.async_copies import HostCopy
from mmseg_uvpt.acceleration.running_statistics import keep_again, kept_statistics, put_back
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.errors import UserError

_SHOWN = 8  # image names in an error
KEY = 'skipped_iterations'  # of checkpoints
_STATE = ('_row', '_length', '_added', '_is_spoilt')


class _SkipsNonFinite(OptimWrapper):
    """An optimiser that leaves out a loss that is not finite, in all processes if in one.

    Nothing waits for the loss: whatever it is, it goes backward, and one that is not finite makes
    all gradients NaN, which no step is made with.

    Attributes:
        finite_loss: whether the last loss was finite, copied to the host.
        finite_gradient: whether the gradient of the last step was; None if it is not known, or if
            the last loss was one of several that make a step together, and not the last of them.
    """

    finite_loss: HostCopy
    finite_gradient: HostCopy | None = None

    def update_params(self, loss: Tensor, *args: object, **kwargs: object) -> None:
        """Update the parameters unless the loss is not finite."""
        finite = _everywhere(torch.isfinite(loss.detach()).all())
        self.finite_loss, self.finite_gradient = HostCopy(finite), None
        super().update_params(loss * torch.where(finite, 1.0, torch.nan), *args, **kwargs)


@OPTIM_WRAPPERS.register_module()
class FiniteOptimWrapper(_SkipsNonFinite):
    """mmengine's `OptimWrapper` that skips losses and gradients that are not finite.

    A fused optimiser (``fused=True``) decides on the device and is not waited for.
    """

    def step(self, **kwargs: object) -> None:
        """Make a step unless a gradient is not finite, which would spoil the weights."""
        groups = self.optimizer.param_groups
        gradients = [p.grad for g in groups for p in g['params'] if p.grad is not None]
        # all processes have the same gradients, so they need not agree
        finite = torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum())
        self.finite_gradient = HostCopy(finite)
        if all(group.get('fused') for group in groups):
            self.optimizer.found_inf = (~finite).float()  # torch's loss scaler skips a step so
            try:
                super().step(**kwargs)
            finally:
                del self.optimizer.found_inf
        elif finite:
            super().step(**kwargs)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(FiniteOptimWrapper):
    """Likewise with bfloat16 autocast, on any device; its range is float32's, so nothing is scaled.

    mmengine's `AmpOptimWrapper` refuses to be built without a GPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of ``model`` under autocast."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module()
class FiniteAmpOptimWrapper(_SkipsNonFinite, AmpOptimWrapper):
    """Likewise in mixed precision, where the loss scaler looks after the gradients itself."""


def _everywhere(finite: Tensor) -> Tensor:
    """Return whether something is true in all processes."""
    if get_world_size() == 1:
        return finite
    flag = finite.to(get_comm_device(), torch.int)
    all_reduce(flag, 'min')
    return flag.bool().to(finite.device)


class _Iteration(NamedTuple):
    """An iteration whose loss is known and whose gradient may not be."""

    number: int
    images: list[str]
    finite_gradient: HostCopy | None


class SkippedIterationHook(Hook):
    """Counts skipped iterations, undoes what they did to batch norms, and ends a hopeless run.

    A loss is waited for, while a GPU goes on with the backward pass. If it is not finite, the
    iteration's outputs say ``skipped``: hooks after this one log no losses and hand no prediction
    to the label correction; ``no_step`` where it spoilt the step that several make together. A
    gradient is looked at an iteration later, or before a checkpoint is written; one that is not
    finite leaves weights and optimiser as they were, and what else it did, which was sound, stands.
    Iterations and learning rates are counted on.

    Args:
        limit: skipped iterations in a row that end the run.
    """

    priority = 'HIGHEST'

    def __init__(self, limit: int):
        self.limit = limit
        self._statistics: list[tuple[Tensor, Tensor]] = []  # of batch norms: now, and before
        self._row: list[str] = []  # images of the skipped iterations in a row
        self._length = 0
        self._added: list[str] = []  # images of which gradients were added up for the next step
        self._is_spoilt = False  # whether one of their losses was not finite
        self._last: _Iteration | None = None  # until its gradient is looked at

    def before_train(self, runner) -> None:
        """Find the batch norms."""
        self._statistics = kept_statistics(runner.model)

    def before_train_iter(self, runner, *args: object, **kwargs: object) -> None:
        """Keep the statistics of batch norms."""
        keep_again(self._statistics)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look whether the iteration was skipped for its loss, or the one before for its gradient.

        Raises:
            UserError: as many in a row as the limit says; the message names the images.
        """
        wrapper = runner.optim_wrapper
        (finite,) = wrapper.finite_loss.wait()
        self._settle(runner)
        self._added += _images(data_batch)
        if not finite:
            put_back(self._statistics)
            outputs['skipped'] = self._is_spoilt = True
            self._skipped(runner, 'loss', runner.iter, _images(data_batch))
        if wrapper.should_update():  # not at each one, where gradients add up
            if self._is_spoilt:
                outputs['no_step'] = True
            else:
                self._last = _Iteration(runner.iter, self._added, wrapper.finite_gradient)
            self._added, self._is_spoilt = [], False

    def before_checkpoint(self, runner, iterations: int) -> None:
        """Count what is to be counted before the counts are saved."""
        self._settle(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save what has happened since the last step, and in how many iterations before it."""
        state = {name: getattr(self, name) for name in _STATE}
        if any(state.values()):
            checkpoint[KEY] = state

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Go on where the run being resumed was."""
        for name, value in checkpoint.get(KEY, {}).items():
            setattr(self, name, value)

    def after_train(self, runner) -> None:
        """Look at the last gradient."""
        self._settle(runner)

    def _settle(self, runner) -> None:
        """Look at the gradient that was left, if one was."""
        last, self._last = self._last, None
        if last is None:
            return
        if last.finite_gradient is None or last.finite_gradient.wait()[0]:
            self._row, self._length = [], 0
        else:
            self._skipped(runner, 'gradient', last.number, last.images)

    def _skipped(self, runner, reason: str, iteration: int, own_images: list[str]) -> None:
        images = [name for names in all_gather_object(own_images) for name in names]
        self._length += 1
        self._row += [name for name in images if name not in self._row]
        history = runner.message_hub.log_scalars.get('train/skipped')
        total = int(history.current()) + 1 if history else 1
        runner.message_hub.update_scalar('train/skipped', total)
        runner.logger.warning(
            f'iteration {iteration} skipped, {total} so far: its {reason} is not finite; images: '
            f'{", ".join(images)}'
        )
        if self._length >= self.limit:
            raise UserError(self._message(reason, last_checkpoint(runner.work_dir)))

    def _message(self, reason: str, checkpoint: object) -> str:
        more = len(self._row) - _SHOWN
        names = ', '.join(self._row[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
        return (
            f'the {reason} of {self._length} iterations in a row was not finite, with the images '
            f'{names}. The last good checkpoint is {checkpoint or "none yet"}. Look at these '
            'images and their labels and go on with --resume; if they are sound, training has '
            'diverged: start again in another --work-dir with a lower learning rate'
        )


def _images(batch: dict) -> list[str]:
    samples = batch['data_samples']
    return [str(sample.metainfo.get('img_path', 'an image without name')) for sample in samples]
