"""Test-time augmentation: the mean of what a segmentor predicts for several views of an image."""

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_uvpt.engine.inference.labels import largest, upright
from mmseg_uvpt.ops.resizing import resized


@MODELS.register_module('SegTTAModel', force=True)
class AugmentedSegmentor(BaseTTAModel):
    """mmseg's `SegTTAModel`, which keeps the logits of all views; here they are added up.

    The result is the same. The name is mmseg's, so that configs need not change.
    """

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predict a batch.

        Args:
            data: ``inputs`` and ``data_samples``, each a list of views, which are lists of images.

        Returns:
            list: the samples of the first view with ``pred_sem_seg``, uint8 (1, H, W): the class
            of the largest mean probability.
        """
        images = zip(*data['inputs'], strict=True)
        samples = zip(*data['data_samples'], strict=True)
        return [self._predict(*views) for views in zip(images, samples, strict=True)]

    def _predict(self, images: list[torch.Tensor], views: list[SegDataSample]) -> SegDataSample:
        """Predict an image from its views; images may differ in size."""
        for number, (image, view) in enumerate(zip(images, views, strict=True), 1):
            batch = {'inputs': [image], 'data_samples': [view]}
            batch = self.module.data_preprocessor(batch, False)
            (sample,) = batch['data_samples']
            (logits,) = self.module.inference(batch['inputs'], [sample.metainfo])
            probabilities = self._probabilities(logits, sample.metainfo)
            if number == 1:
                total, first = probabilities, sample
            else:
                total.add_(probabilities)
        first.pred_sem_seg = PixelData(data=largest(total.div_(number)[None])[1])
        return first

    def _probabilities(self, logits: torch.Tensor, metainfo: dict) -> torch.Tensor:
        """Return (C, H, W) at the image's original size from logits (C, h, w)."""
        logits = upright(logits[None], metainfo)
        size = tuple(metainfo['ori_shape'][:2])
        return resized(logits, size, self.module.align_corners)[0].softmax(0)

    def merge_preds(self, data_samples_list: list) -> list:
        """Not used: `test_step` adds the views up itself."""
        raise NotImplementedError
