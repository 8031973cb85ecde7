"""Iterations whose loss or gradient is not finite change nothing, and end a run if they go on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import all_gather_object, all_reduce, get_comm_device, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from mmseg_uvpt.engine.run_folder import last_checkpoint
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.running_statistics import kept_statistics, put_back

LIMIT = 20
_SHOWN = 8  # image names in an error


class _SkipsNonFinite(OptimWrapper):
    """An optimiser that leaves out a loss that is not finite, in all processes if in one.

    Attributes:
        skipped: what was not finite in the last iteration; empty if all was.
    """

    skipped = ''

    def update_params(self, loss: Tensor, *args: object, **kwargs: object) -> None:
        """Update the parameters, or count the iteration and drop gradients gathered so far."""
        self.skipped = ''
        if _everywhere(torch.isfinite(loss.detach()).all()):
            super().update_params(loss, *args, **kwargs)
        else:
            self.skipped = 'loss'
            self._inner_count += 1
            self.zero_grad()


@OPTIM_WRAPPERS.register_module()
class FiniteOptimWrapper(_SkipsNonFinite):
    """mmengine's `OptimWrapper` that skips losses and gradients that are not finite."""

    def step(self, **kwargs: object) -> None:
        """Make a step unless a gradient is not finite, which would spoil the weights."""
        groups = self.optimizer.param_groups
        gradients = [p.grad for g in groups for p in g['params'] if p.grad is not None]
        # all processes have the same gradients, so they need not agree
        if all(torch.isfinite(norm) for norm in _norms(gradients)):
            super().step(**kwargs)
        else:
            self.skipped = 'gradient'


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


CHECKED = {'OptimWrapper': 'FiniteOptimWrapper', 'AmpOptimWrapper': 'FiniteAmpOptimWrapper'}


def _norms(tensors: list[Tensor]) -> list[Tensor]:
    """Return the norm of all tensors of a device, for each device."""
    devices: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        devices.setdefault(tensor.device, []).append(tensor)
    return [torch.stack(torch._foreach_norm(found)).sum() for found in devices.values()]


def _everywhere(finite: Tensor) -> bool:
    """Tell whether something is true in all processes."""
    if get_world_size() == 1:
        return bool(finite)
    flag = finite.to(get_comm_device(), torch.int)
    all_reduce(flag, 'min')
    return bool(flag)


class SkippedIterationHook(Hook):
    """Undoes what a skipped iteration did to batch norms, counts it, and ends a hopeless run.

    Such an iteration has no outputs: hooks after this one see an empty dict, log no losses and
    hand no prediction to the label correction. Iterations and learning rates are counted on.

    Args:
        limit: skipped iterations in a row that end the run.
    """

    priority = 'HIGHEST'

    def __init__(self, limit: int = LIMIT):
        self.limit = limit
        self._statistics: list[tuple[Tensor, Tensor]] = []  # of batch norms: now, and before
        self._row: list[str] = []  # images of the skipped iterations in a row
        self._length = 0

    def before_train(self, runner) -> None:
        """Find the batch norms."""
        self._statistics = kept_statistics(runner.model)

    def before_train_iter(self, runner, *args: object, **kwargs: object) -> None:
        """Keep the statistics of batch norms."""
        for now, before in self._statistics:
            before.copy_(now)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look whether the iteration was skipped.

        Raises:
            UserError: as many in a row as the limit says; the message names the images.
        """
        reason = runner.optim_wrapper.skipped
        if not reason:
            self._row, self._length = [], 0
            return
        put_back(self._statistics)
        outputs.clear()
        images = [name for names in all_gather_object(_images(data_batch)) for name in names]
        self._length += 1
        self._row += [name for name in images if name not in self._row]
        history = runner.message_hub.log_scalars.get('train/skipped')
        total = int(history.current()) + 1 if history else 1
        runner.message_hub.update_scalar('train/skipped', total)
        runner.logger.warning(
            f'iteration {runner.iter} skipped, {total} so far: its {reason} is not finite; images: '
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
