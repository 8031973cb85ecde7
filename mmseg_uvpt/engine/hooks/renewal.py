"""New statistics in the batch norms before an adaptation begins."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_uvpt.engine.hooks.resume import evaluating
from mmseg_uvpt.engine.inference.renewed_statistics import renew_statistics
from mmseg_uvpt.engine.inference.target_images import TargetImages
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.models.segmentors.source import norms_of_source
from mmseg_uvpt.progress import progress


@HOOKS.register_module()
class RenewStatisticsHook(Hook):
    """Gives the source model's batch norms mean and variance of target images, before all else.

    Those of the backbone become half the target's and half the source's (`renew_statistics`).
    What the method then begins with, a teacher for one, is the source model with these statistics;
    candidate 0 of the selection stays the source model as it was. (Li et al., "Revisiting Batch
    Normalization For Practical Domain Adaptation", 2017.)

    Args:
        images: how many of ``target_train_dataloader``, evenly spaced, as a prediction sees them.

    Raises:
        ValueError: ``images`` is less than 1.
    """

    priority = 'ABOVE_NORMAL'  # before the method begins, by whatever name a config has it

    def __init__(self, images: int = 240) -> None:
        if images < 1:
            raise ValueError(f'images={images!r}: must be at least 1')
        self.images = images

    def before_train_epoch(self, runner: Runner) -> None:
        """Renew them, when a fresh training has judged its source model."""
        model = without_wrapper(runner.model)
        if runner.iter > 0:
            return
        if not norms_of_source(model):
            runner.logger.warning('the model has no batch norms whose statistics could be renewed')
            return
        with evaluating(model):
            images = TargetImages(runner.cfg, self.images)
            number = len(images.paths)
            renew_statistics(
                model, lambda: progress(images.inputs(model, 1), 'new statistics', 'image', number)
            )
        runner.logger.info(f'the batch norms have the statistics of {number} target images')
