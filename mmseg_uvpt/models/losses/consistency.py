"""Multiscale consistency: losses that compare the views of an image (Uni-UVPT)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_uvpt.ops.resizing import resized

FLOOR = 1e-3  # probabilities and prompts are kept within FLOOR..1 - FLOOR


def mix(probabilities: Sequence[Tensor], scale_weights: Tensor) -> Tensor:
    """Average the views' probabilities (B, C, H, W) by the softmax of the scale weights (views,).

    Returns:
        Tensor: (B, C, H, W), clamped to 1e-3..1 - 1e-3.
    """
    weights = scale_weights.softmax(0)
    mixture = sum(w * p for w, p in zip(weights, probabilities, strict=True))
    return mixture.clamp(FLOOR, 1 - FLOOR)


def prediction_consistency(
    probabilities: Sequence[Tensor],
    log_probabilities: Sequence[Tensor],
    mixture: Tensor,
    labels: Tensor,
    ignore_index: int = 255,
    confidence_floor: float = 0.8,
) -> Tensor:
    """Pull each view's prediction towards the mixture where that is confident.

    Args:
        probabilities, log_probabilities: per view (B, C, H, W).
        mixture: (B, C, H, W) from `mix`.
        labels: (B, H, W); pixels of ``ignore_index`` add 0.
        confidence_floor: pixels whose largest probability in the mixture is lower add 0.

    Returns:
        Tensor: scalar, the sum over views of KL(view || mixture), averaged over *all* pixels.
    """
    counted = (mixture.amax(1) >= confidence_floor) & (labels != ignore_index)
    log_mixture = mixture.log()
    pairs = zip(probabilities, log_probabilities, strict=True)
    divergence = sum((p * (log_p - log_mixture)).sum(1) for p, log_p in pairs)
    return (divergence * counted).mean()


def prompt_consistency(prompts: Sequence[Tensor]) -> Tensor:
    """Return the mean squared distance of the views' prompts of one stage to their average.

    Args:
        prompts: per view (B, C, h, w) of its own size; view 1 gives that of the comparison.
    """
    size = prompts[0].shape[2:]
    views = [resized(p, size, align_corners=True).clamp(FLOOR, 1 - FLOOR) for p in prompts]
    average = torch.stack(views).mean(0)
    return torch.stack([F.mse_loss(p, average) for p in views]).mean()
