"""The one loop that predicts: in validation and tests, for pseudo labels and for any images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from mmengine.registry import LOOPS
from mmengine.runner import TestLoop, ValLoop
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_uvpt.acceleration.amp import autocast
from mmseg_uvpt.engine.inference.logits_to_labels import (
    largest_channel,
    resized_label,
    split_by_size,
    unpad_and_unflip,
)
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.ops.resizing import resized


@dataclass(frozen=True)
class Result:
    """What a model says of one image.

    Attributes:
        label: uint8 (H, W), the class of the largest logit at the image's original size: logits
            are resized, not labels.
        logits: float32 (C, h, w) at the size that the network saw, without padding or flip. Of
            several views it is the logarithm of their mean probability, at the original size.
        classes: their names, in the order of their ids.
        sample: the data set's, of the first view: metainfo, and the ground truth if it was loaded.
        align_corners: how logits are resized.
    """

    label: Tensor
    logits: Tensor
    classes: Sequence[str]
    sample: SegDataSample
    align_corners: bool

    @property
    def image(self) -> str | None:
        """Path of the image; None of an array."""
        return self.sample.get('img_path')

    def confidence(self) -> Tensor:
        """Return the largest probability of each pixel at the original size: float32 (H, W)."""
        size = tuple(self.label.shape)
        return resized(self.logits[None], size, self.align_corners).softmax(1).amax(1)[0]

    def as_seen(self) -> tuple[Tensor, Tensor]:
        """Return label, uint8 (h, w), and confidence, float32 (h, w), at the network's size."""
        confidence, label = largest_channel(self.logits.softmax(0)[None])
        return label[0], confidence[0]

    def to_sample(self) -> SegDataSample:
        """Return the sample with ``pred_sem_seg``, uint8 (1, H, W), for metrics and hooks."""
        self.sample.pred_sem_seg = PixelData(data=self.label[None])
        return self.sample


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Iterable[dict], classes: Sequence[str] = ()
) -> Iterator[Result]:
    """Predict the images of a data loader.

    They run in inference mode. Images of a batch may differ in size: those of one size that follow
    each other go through the network together, on a CPU each by itself, because what a single one
    needs is found in its caches more often. Where a batch holds several views of each image (of
    ``TestTimeAug``), the views' probabilities are averaged. Logits, and all that is made of them,
    are in float32, whatever `accelerate` has the model compute in.

    Args:
        model: a segmentor in eval mode, without a wrapper. Where its ``test_cfg`` has the mode
            ``'slide'``, windows of an image are predicted and averaged.
        batches: of each ``inputs``, uint8 images (3, h, w), and ``data_samples``, one of each; or
            lists of views of these.
        classes: names for the results.

    Yields:
        Result: one an image, in the order of the batches.

    Raises:
        UserError: a model's logits are not finite.
    """
    on_cpu = model.data_preprocessor.device.type == 'cpu'
    for batch in batches:
        inputs, samples = batch['inputs'], batch['data_samples']
        if not isinstance(samples[0], SegDataSample):
            for views in zip(zip(*inputs, strict=True), zip(*samples, strict=True), strict=True):
                yield _of_views(model, *views, classes)
            continue
        for part in split_by_size(inputs, samples, alone=on_cpu):
            yield from _of_images(model, *part, classes)


def _of_images(
    model: nn.Module, images: Sequence, samples: Sequence, classes: Sequence[str]
) -> Iterator[Result]:
    for logits, sample in _logits(model, images, samples):
        size = tuple(sample.ori_shape[:2])
        label = resized_label(logits, size, model.align_corners)[0]
        yield Result(label, logits[0], classes, sample, model.align_corners)


def _of_views(
    model: nn.Module, images: Sequence, views: Sequence, classes: Sequence[str]
) -> Result:
    for number, (image, view) in enumerate(zip(images, views, strict=True), 1):
        ((logits, sample),) = _logits(model, [image], [view])
        size = tuple(sample.ori_shape[:2])
        probabilities = resized(logits, size, model.align_corners).softmax(1)
        if number == 1:
            total, first = probabilities, sample
        else:
            total.add_(probabilities)
    label = largest_channel(total.div_(number))[1][0]
    return Result(label, total.log_()[0], classes, first, model.align_corners)


def _logits(
    model: nn.Module, images: Sequence[Tensor], samples: Sequence[SegDataSample]
) -> Iterator[tuple[Tensor, SegDataSample]]:
    """Yield logits (1, C, h, w) without padding or flip, and samples, of images of one size."""
    batch = model.data_preprocessor({'inputs': [*images], 'data_samples': [*samples]}, False)
    inputs, test_cfg = batch['inputs'], model.test_cfg or {}

    def network(x: Tensor) -> Tensor:
        logits = model(x, mode='tensor').float()  # whatever autocast computes in
        return resized(logits, tuple(x.shape[2:]), model.align_corners)

    if test_cfg.get('mode') == 'slide':
        logits = _by_windows(network, inputs, test_cfg['crop_size'], test_cfg['stride'])
    else:
        logits = network(inputs)
    finite = logits.isfinite().flatten(1).all(1).tolist()
    for i, sample in enumerate(batch['data_samples']):
        if not finite[i]:
            raise UserError(
                f'the model gives no finite numbers for {sample.get("img_path", "an image")}: its '
                'training has diverged, or float16 does not reach. Use an earlier checkpoint, or '
                'leave out --amp.'
            )
        yield unpad_and_unflip(logits[i : i + 1], sample.metainfo), sample


def _by_windows(
    network: Callable[[Tensor], Tensor], x: Tensor, window: Sequence[int], stride: Sequence[int]
) -> Tensor:
    """Return the mean logits (B, C, h, w) of overlapping windows, the last ones at the edges."""
    height, width = x.shape[2:]
    rows, columns = (
        sorted({min(first, max(length - side, 0)) for first in range(0, length, step)})
        for length, side, step in zip((height, width), window, stride, strict=True)
    )
    total, count = 0, x.new_zeros(height, width)
    for top, left in product(rows, columns):
        part = (..., slice(top, top + window[0]), slice(left, left + window[1]))
        logits = network(x[part])
        bottom, right = height - top - logits.shape[2], width - left - logits.shape[3]
        total = total + F.pad(logits, (left, right, top, bottom))
        count[part] += 1
    return total / count


class _ScoringLoop:
    """Has `predict` where mmengine's loops have the model's own prediction.

    Version 0.1 evaluated in float32 during a training with ``--amp``; now such a model computes in
    half precision wherever it runs (`accelerate`).
    """

    kind: str

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Predict a batch and have it scored."""
        call_hook = self.runner.call_hook
        call_hook(f'before_{self.kind}_iter', batch_idx=idx, data_batch=data_batch)
        classes = getattr(self.dataloader.dataset, 'metainfo', {}).get('classes', ())
        model = without_wrapper(self.runner.model)
        with autocast(self.fp16, model.data_preprocessor.device):
            outputs = [result.to_sample() for result in predict(model, [data_batch], classes)]
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        call_hook(f'after_{self.kind}_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)


@LOOPS.register_module()
class InferenceValLoop(_ScoringLoop, ValLoop):
    """The evaluations of a training."""

    kind = 'val'


@LOOPS.register_module()
class InferenceTestLoop(_ScoringLoop, TestLoop):
    """A test."""

    kind = 'test'


def loop_config(described: dict | None, kind: str) -> dict:
    """Return a config's ``val_cfg`` or ``test_cfg`` as it is built.

    Args:
        described: what the config says. Where it names mmengine's loop, as recorded configs of
            version 0.1 do, or none, it gets ours; any other stays.
        kind: ``'val'`` or ``'test'``.
    """
    described = dict(described or {})
    if described.get('type', 'TestLoop') in ('ValLoop', 'TestLoop', 'ScoringLoop'):
        described['type'] = f'Inference{kind.title()}Loop'
    return described
