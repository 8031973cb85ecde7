"""From logits to labels without all classes at the size of the label.

The float32 logits of one Cityscapes frame at its full size are 160 MB. Labels and scores need only
the class of the largest, so on a CPU classes are resized one by one and compared with the best so
far. A GPU has the memory, and would wait to be told of three kernels a class.
"""

from collections.abc import Iterable, Iterator

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_uvpt.ops.resizing import resized


def largest(x: Tensor) -> tuple[Tensor, Tensor]:
    """Find the largest channel at each pixel.

    Args:
        x: (B, C, H, W), finite, at most 256 channels.

    Returns:
        tuple: the largest value, and as uint8 its channel: the first, where several have it. Both
        are what ``x.max(1)`` gives.
    """
    if x.is_cuda:
        value, channel = x.max(1)
        return value, channel.to(torch.uint8)
    return _largest_of(x.unbind(1))


def _largest_of(maps: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the largest of several maps at each pixel, and the number of its map."""
    maps = iter(maps)
    best = next(maps).clone()
    label = torch.zeros_like(best, dtype=torch.uint8)
    for number, x in enumerate(maps, 1):
        label.masked_fill_(x > best, number)
        torch.maximum(best, x, out=best)
    return best, label


def resized_label(logits: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Return the class of the largest logit after bilinear resizing.

    Args:
        logits: (1, C, h, w).
        size: height and width of the label.
        align_corners: as of `torch.nn.functional.interpolate`.

    Returns:
        Tensor: uint8 (1, H, W).
    """
    if logits.is_cuda:
        return largest(resized(logits, size, align_corners))[1]
    return _largest_of(resized(x, size, align_corners)[:, 0] for x in logits.split(1, dim=1))[1]


def upright(logits: Tensor, metainfo: dict) -> Tensor:
    """Cut the padding of an image off its logits (B, C, h, w), and turn them back if flipped."""
    left, right, top, bottom = metainfo.get(
        'img_padding_size', metainfo.get('padding_size', (0, 0, 0, 0))
    )
    height, width = logits.shape[2:]
    logits = logits[..., top : height - bottom, left : width - right]
    if metainfo.get('flip'):
        logits = logits.flip({'horizontal': 3, 'vertical': 2}[metainfo['flip_direction']])
    return logits


def of_equal_size(inputs: list[Tensor], samples: list) -> Iterator[tuple[list, list]]:
    """Split a batch into runs of images of one size, which the network can take at once."""
    start = 0
    for end in range(1, len(inputs) + 1):
        if end == len(inputs) or inputs[end].shape != inputs[start].shape:
            yield inputs[start:end], samples[start:end]
            start = end


class PredictsLabels:
    """Mixin for segmentors: predictions for images of a data set hold labels, no logits.

    The images of a batch may differ in size, in any program that evaluates or predicts.
    """

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Predict a batch.

        Args:
            data: ``inputs``, images (3, H, W) of any sizes, and ``data_samples``, one of each.

        Returns:
            list: the samples, see `postprocess_result`.
        """
        predicted = []
        for inputs, samples in of_equal_size(data['inputs'], data['data_samples']):
            predicted += super().test_step({'inputs': inputs, 'data_samples': samples})
        return predicted

    val_step = test_step

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Return float32 logits (B, C, H, W) for images (B, 3, H, W), whatever autocast does."""
        return self.decode_head.predict_by_feat(self.network(inputs), batch_img_metas)

    def network(self, inputs: Tensor) -> Tensor:
        """Return float32 logits (B, C, h, w) at the head's size for images (B, 3, H, W).

        A CPU takes them one by one: what a single one needs is found in its caches more often.
        """
        if inputs.device.type == 'cpu' and len(inputs) > 1:
            return torch.cat([self.network(image) for image in inputs.split(1)])
        return self.decode_head(self.extract_feat(inputs)).float()

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Label the images at their original size.

        Args:
            seg_logits: (B, C, h, w), of the images as the network saw them.
            data_samples: B samples that say how each image was changed; without them the
                result is mmseg's, logits included.

        Returns:
            list: the samples with ``pred_sem_seg``, uint8 (1, H, W) in ``ori_shape``, and
            ``is_finite``, a scalar: whether all of an image's logits were numbers.
        """
        if data_samples is None:
            return super().postprocess_result(seg_logits)
        for logits, sample in zip(seg_logits.split(1), data_samples, strict=True):
            metainfo = sample.metainfo
            label = resized_label(
                upright(logits, metainfo), tuple(metainfo['ori_shape'][:2]), self.align_corners
            )
            sample.pred_sem_seg = PixelData(data=label)
            sample.is_finite = logits.isfinite().all()  # a tensor: a GPU is not waited for
        return data_samples
