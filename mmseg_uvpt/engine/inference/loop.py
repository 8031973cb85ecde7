"""The one loop that predicts: in validation and tests, for pseudo labels and for any images."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product

import torch
from mmengine.registry import LOOPS
from mmengine.runner import TestLoop, ValLoop
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_uvpt.acceleration.amp import autocast
from mmseg_uvpt.engine.inference.logits_to_labels import (
    largest_channel,
    resized_label,
    split_by_size,
    unpad_and_unflip,
)
from mmseg_uvpt.engine.inference.result import Result, temperature_in
from mmseg_uvpt.engine.inference.tiles import (
    Tiles,
    grid_of,
    in_tiles,
    naming_memory,
    say_tiles,
    tiles_for,
)
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.free_memory import free_memory
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.ops.resizing import resized


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Iterable[dict], meta: Mapping | None = None
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
        meta: ``classes`` and ``palette`` of the data set, for the results.

    Yields:
        Result: one an image, in the order of the batches.

    Raises:
        UserError: a model's logits are not finite; the memory does not suffice.
    """
    on_cpu = model.data_preprocessor.device.type == 'cpu'
    for batch in batches:
        inputs, samples = batch['inputs'], batch['data_samples']
        if not isinstance(samples[0], SegDataSample):
            for views in zip(zip(*inputs, strict=True), zip(*samples, strict=True), strict=True):
                with naming_memory(views[0]):
                    result = _of_views(model, *views, meta)
                yield result
            continue
        for part in split_by_size(inputs, samples, alone=on_cpu):
            with naming_memory(part[0]):
                results = list(_of_images(model, *part, meta))
            yield from results


def _of_images(
    model: nn.Module, images: Sequence, samples: Sequence, meta: Mapping
) -> Iterator[Result]:
    temperature = temperature_in(model.test_cfg or {})
    for logits, sample in _logits(model, images, samples):
        size = tuple(sample.ori_shape[:2])
        label = resized_label(logits, size, model.align_corners)[0]
        yield Result(label, logits[0], meta, sample, model.align_corners, temperature)


def _of_views(model: nn.Module, images: Sequence, views: Sequence, meta: Mapping) -> Result:
    for number, (image, view) in enumerate(zip(images, views, strict=True), 1):
        ((logits, sample),) = _logits(model, [image], [view])
        size = tuple(sample.ori_shape[:2])
        probabilities = resized(logits, size, model.align_corners).softmax(1)
        if number == 1:
            total, first = probabilities, sample
        else:
            total.add_(probabilities)
    label = largest_channel(total.div_(number))[1][0]
    temperature = temperature_in(model.test_cfg or {})
    return Result(label, total.log_()[0], meta, first, model.align_corners, temperature)


def _logits(
    model: nn.Module, images: Sequence[Tensor], samples: Sequence[SegDataSample]
) -> Iterator[tuple[Tensor, SegDataSample]]:
    """Yield logits (1, C, h, w) without padding or flip, and samples, of images of one size."""
    batch = model.data_preprocessor({'inputs': [*images], 'data_samples': [*samples]}, False)
    inputs, test_cfg = batch['inputs'], model.test_cfg or {}

    def network(x: Tensor) -> Tensor:
        logits = model(x, mode='tensor').float()  # whatever autocast computes in
        return resized(logits, tuple(x.shape[2:]), model.align_corners)

    size = inputs.shape[2:]
    if test_cfg.get('mode') == 'slide':
        logits = _by_windows(network, inputs, *_windows(test_cfg))
    elif tiles := _tiles(model, inputs):
        say_tiles(tuple(size), tiles)
        logits = in_tiles(network, inputs, tiles)
    else:
        logits = network(inputs)
    # a channel at a time: of a large photograph all would take as much memory again
    finite = torch.stack([x.isfinite().flatten(1).all(1) for x in logits.unbind(1)]).all(0).tolist()
    for i, sample in enumerate(batch['data_samples']):
        if not finite[i]:
            raise UserError(
                f'the model gives no finite numbers for {sample.get("img_path", "an image")}: its '
                'training has diverged, or float16 does not reach. Use an earlier checkpoint, or '
                'leave out --amp.'
            )
        yield unpad_and_unflip(logits[i : i + 1], sample.metainfo), sample


def _tiles(model: nn.Module, inputs: Tensor) -> Tiles | None:
    free, grid = partial(free_memory, inputs.device), partial(grid_of, model)
    return tiles_for(inputs.shape[2:], free, grid, model.num_classes, len(inputs))


def _windows(test_cfg: Mapping) -> tuple[Sequence[int], Sequence[int]]:
    """Return size and stride (height, width) of the windows that a config asks for."""
    size, stride = test_cfg.get('crop_size'), test_cfg.get('stride')
    are_pairs = all(isinstance(each, list | tuple) and len(each) == 2 for each in (size, stride))
    if not are_pairs or not all(0 < step <= side for side, step in zip(size, stride, strict=True)):
        raise UserError(
            f'model.test_cfg: windows of crop_size={size}, a stride={stride} apart, leave gaps. '
            'mode=slide needs both, (height, width) each, and strides from 1 to the window'
        )
    return size, stride


def _by_windows(
    network: Callable[[Tensor], Tensor], x: Tensor, window: Sequence[int], stride: Sequence[int]
) -> Tensor:
    """Return the mean logits (B, C, h, w) of overlapping windows, the last ones at the edges."""
    height, width = x.shape[2:]
    rows, columns = (
        sorted({min(first, max(length - side, 0)) for first in range(0, length, step)})
        for length, side, step in zip((height, width), window, stride, strict=True)
    )
    total, count = None, x.new_zeros(height, width)
    for top, left in product(rows, columns):
        part = (..., slice(top, top + window[0]), slice(left, left + window[1]))
        logits = network(x[part])
        if total is None:
            total = logits.new_zeros(*logits.shape[:2], height, width)
        total[part] += logits
        count[part] += 1
    return total.div_(count)


def score_batch(loop: ValLoop | TestLoop, model: nn.Module, batch: dict) -> list[SegDataSample]:
    """Predict a batch and have it counted, without hooks; return what was predicted.

    Args:
        loop: whose loader the batch is of.
        model: a segmentor in eval mode, without a wrapper.
        batch: of images and what is known of them.
    """
    meta = getattr(loop.dataloader.dataset, 'metainfo', {})
    with autocast(loop.fp16, model.data_preprocessor.device):
        outputs = [result.to_sample() for result in predict(model, [batch], meta)]
    loop.evaluator.process(data_samples=outputs, data_batch=batch)
    return outputs


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
        outputs = score_batch(self, without_wrapper(self.runner.model), data_batch)
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
