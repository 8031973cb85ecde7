"""The loop of a test: batches of frames of any sizes, in half precision if asked for."""

from collections.abc import Iterator

import torch
from mmengine.registry import LOOPS
from mmengine.runner import TestLoop
from torch import Tensor

from mmseg_uvpt.engine.precision import autocast


@LOOPS.register_module()
class ScoringLoop(TestLoop):
    """mmengine's `TestLoop` in inference mode, whose batches may hold frames of several sizes.

    Args:
        amp: whether the network computes in half precision; logits and all that follows are in
            float32.
        **kwargs: of `mmengine.runner.TestLoop`.
    """

    def __init__(self, *args, amp: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.amp = amp

    @torch.inference_mode()
    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Predict a batch and count its pixels."""
        self.runner.call_hook('before_test_iter', batch_idx=idx, data_batch=data_batch)
        model = self.runner.model
        device = next(model.parameters()).device
        outputs = []
        with autocast(self.amp, device):
            for part in _parts(data_batch):
                outputs += model.test_step(part)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(
            'after_test_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )


def _parts(batch: dict) -> Iterator[dict]:
    """Split a batch where sizes differ; one of several views of each image, image by image."""
    inputs, samples = batch['inputs'], batch['data_samples']
    if isinstance(inputs[0], Tensor):
        for images, of_images in of_equal_size(inputs, samples):
            yield {'inputs': images, 'data_samples': of_images}
    else:  # a list of views, each of a batch
        for i in range(len(samples[0])):
            yield {
                'inputs': [view[i : i + 1] for view in inputs],
                'data_samples': [view[i : i + 1] for view in samples],
            }


def of_equal_size(inputs: list[Tensor], samples: list) -> Iterator[tuple[list, list]]:
    """Split a batch into runs of images of one size, which the network can take at once."""
    start = 0
    for end in range(1, len(inputs) + 1):
        if end == len(inputs) or inputs[end].shape != inputs[start].shape:
            yield inputs[start:end], samples[start:end]
            start = end
