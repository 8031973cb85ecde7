"""The class-weighted cross entropy of generalise-then-adapt pretraining."""

from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class PixelMeanCrossEntropy(CrossEntropyLoss):
    """mmseg's loss, averaged over all pixels, ignored ones too, also where classes have weights.

    mmseg divides by the labelled pixels' weights; the release of the published models did not.
    """

    def forward(
        self, cls_score: Tensor, label: Tensor, weight: Tensor | None = None, **kwargs
    ) -> Tensor:
        """Return the loss of logits (B, C, H, W) for labels (B, H, W), a scalar."""
        return super().forward(cls_score, label, weight, avg_factor=label.numel(), **kwargs)
