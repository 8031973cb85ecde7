"""The loop of a test, in half precision if asked for."""

import torch
from mmengine.registry import LOOPS
from mmengine.runner import TestLoop

from mmseg_uvpt.acceleration.amp import autocast


@LOOPS.register_module()
class ScoringLoop(TestLoop):
    """mmengine's `TestLoop` in inference mode.

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
        with autocast(self.amp, device):
            outputs = model.test_step(data_batch)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook(
            'after_test_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
