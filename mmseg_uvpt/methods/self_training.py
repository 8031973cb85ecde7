"""Self-training on pseudo labels as they were made."""

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor, Views, agreement


@MODELS.register_module()
class SelfTraining(AdaptedSegmentor):
    """Cross entropy on the pseudo labels (Lee, "Pseudo-Label", ICML workshop 2013).

    Which of them count is decided when they are made: all, those above a global threshold, or, as
    in class-balanced self-training (CBST; Zou et al., ECCV 2018), above a threshold a class
    (``generate_pseudo_label.py --threshold``, ``--class-quantile``); the others are 255. With y the
    label and p the probabilities of a pixel, the loss is the mean over labelled pixels of
    ``- log p_y``, and that over the views.

    Args:
        **kwargs: of `AdaptedSegmentor`; views are trained alike.
    """

    trains_scale_weights = False

    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Compute the mean cross entropy of labelled pixels and views, and ``acc_seg``."""
        losses = [cross_entropy(logits, views.labels, views.weights) for logits in views.logits]
        return {
            'loss_self_training': sum(losses) / len(losses),
            'acc_seg': agreement(views.logits[0].detach(), views.labels),
        }


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the cross entropy of labelled pixels, the mean over all of them.

    Args:
        logits: (B, C, H, W).
        labels: (B, H, W), pixels of 255 do not count; or probabilities (B, C, H, W).
        weights: (B, H, W), which each pixel's loss is multiplied by; None for 1.

    Returns:
        Tensor: scalar; 0 without a labelled pixel.
    """
    if labels.ndim == 4:
        pixels = -(labels * logits.log_softmax(1)).sum(1)
        counted = pixels.numel()
    else:
        pixels = F.cross_entropy(logits, labels.long(), ignore_index=255, reduction='none')
        counted = (labels != 255).sum().clamp(min=1)
    if weights is not None:
        pixels = pixels * weights
    return pixels.sum() / counted
