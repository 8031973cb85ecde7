"""The hook that keeps what early-learning regularisation remembers of each image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn

from mmseg_uvpt.acceleration.async_copies import HostCopy
from mmseg_uvpt.correction.batch import Crop, gather, joint_batch, read_crops, scatter
from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.correction.moving_averages import MovingAverages
from mmseg_uvpt.correction.offline import NEVER, OfflineCorrectionRule
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.model_wrappers import without_wrapper

FOLDER = 'moving_averages'  # in that of the label bank, whose frames they are of


@HOOKS.register_module()
class EarlyLearningHook(LabelCorrectionHook):
    """Give each batch its labels, which stay as they were made, and what was predicted before.

    That is ``moving_average`` of each sample, (C, h, w), of cells of ``average_stride`` pixels of
    the model, and 0 in cells that were not seen yet. The model leaves what it becomes in
    ``last_averages`` (B, C, h, w). Rank 0 has the file; it is resumed with the label bank.

    Args:
        **kwargs: of `LabelCorrectionHook`; ``slope`` and ``quantile`` have no effect.
    """

    averages: MovingAverages | None = None

    def make_rule(self, epoch: int) -> OfflineCorrectionRule:
        """Return a rule by which no class is corrected; the curve is recorded."""
        never = np.full(self.num_classes, NEVER)
        return OfflineCorrectionRule(never, epoch, self.interval, self.queue_length)

    def before_train(self, runner: Runner) -> None:
        """Make the file of averages, or open that of the run being resumed; rank 0 does.

        Raises:
            UserError: the model makes no averages.
        """
        model = without_wrapper(runner.model)
        if not hasattr(model, 'average_stride'):
            raise UserError(
                f'{type(self).__name__} keeps what EarlyLearning remembers, and the model is a '
                f'{type(model).__name__}: give both, --cfg-options model.type=EarlyLearning '
                f'default_hooks.label_correction.type={type(self).__name__}'
            )
        super().before_train(runner)
        model.register_forward_hook(self._copy_averages)
        self._stride = model.average_stride
        if not is_main_process():
            return
        frames = (self.bank.folder / FOLDER, self.bank.layout.frame_sizes)
        if runner.iter > 0:
            self.averages = MovingAverages(*frames, self.num_classes, self._stride, runner.iter)
            if self.bank.taken_back and not self.averages.taken_back:
                runner.logger.warning(
                    f'nothing undoes what was changed in {frames[0]} since the '
                    'checkpoint: the run goes on with averages other than it had then, so its '
                    'result may differ slightly from an uninterrupted run.'
                )
            self.averages.undo.begin(runner.iter)
        else:
            self.averages = MovingAverages.create(*frames, self.num_classes, self._stride)

    def complete(
        self,
        crops: list[Crop],
        dealt: list[list[Crop]] | None,
        samples: Sequence,
        iteration: int,
    ) -> None:
        """Give the samples of a batch their labels and averages; see `LabelCorrectionHook`."""
        super().complete(crops, dealt, samples, iteration)
        averages = scatter(
            dealt and [[self.averages.read(crop.index, crop.box) for crop in own] for own in dealt]
        )
        for crop, sample, average in zip(crops, samples, averages, strict=True):
            crop.set_average(sample, average)

    def _copy_averages(self, model: nn.Module, *_: Any) -> None:
        """Begin to copy the averages of a `loss`, which nobody waits for."""
        if model.training:
            self._copy = HostCopy(model.last_averages)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Sequence] | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Keep averages and predictions, unless the iteration was skipped."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if 'skipped' in (outputs or ()):
            return
        (averages,) = self._copy.wait()
        averages = averages.to(torch.float16).numpy()
        own = [
            (crop.index, crop.box, crop.from_network(average, self._stride))
            for crop, average in zip(read_crops(data_batch), averages, strict=True)
        ]
        for index, box, average in joint_batch(gather(own) or []):
            self.averages.write(index, box, average)

    def before_checkpoint(self, runner: Runner, iterations: int) -> None:
        """Have bank and averages remember how to return to here."""
        super().before_checkpoint(runner, iterations)
        if self.averages is not None:
            self.averages.flush()
            self.averages.undo.begin(iterations)

    def after_train(self, runner: Runner) -> None:
        """Close bank and averages."""
        super().after_train(runner)
        if self.averages is not None:
            self.averages.undo.clear()
            self.averages.close()
            self.averages = None
