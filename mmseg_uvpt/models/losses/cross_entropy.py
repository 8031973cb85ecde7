"""The class-weighted cross entropy of generalise-then-adapt pretraining."""

from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class PixelMeanCrossEntropy(CrossEntropyLoss):
    """mmseg's `CrossEntropyLoss`, averaged over all pixels also where classes have weights.

    mmseg divides the sum over pixels of weight times loss by the sum of the weights of the labelled
    pixels. The published models were trained with an earlier release of it, which divides by the
    number of pixels, ignored ones included, as it still does without weights.
    """

    def forward(
        self, cls_score: Tensor, label: Tensor, weight: Tensor | None = None, **kwargs
    ) -> Tensor:
        """Compute the loss.

        Args:
            cls_score: logits (B, C, H, W).
            label: (B, H, W), class indices or ``ignore_index``.
            weight: of each pixel, (B, H, W); None for 1.
            **kwargs: of mmseg's loss, ``ignore_index`` for one.

        Returns:
            Tensor: scalar.
        """
        return super().forward(cls_score, label, weight, avg_factor=label.numel(), **kwargs)
