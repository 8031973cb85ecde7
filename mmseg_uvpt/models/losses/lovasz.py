"""Lovasz-softmax (Berman et al., "The Lovasz-Softmax loss", CVPR 2018)."""

import torch
from torch import Tensor


def lovasz_softmax(probabilities: Tensor, labels: Tensor, ignore_index: int = 255) -> Tensor:
    """Convex surrogate of the mean Jaccard loss over the classes present in the batch.

    All classes are sorted at once and absent ones are masked, so nothing waits for the device.

    Args:
        probabilities: (B, C, H, W), softmax output in 0..1.
        labels: (B, H, W), class indices in 0..C-1 or ``ignore_index``.
        ignore_index: label of pixels that do not count.

    Returns:
        Tensor: scalar in 0..1; 0 where every pixel is ignored.
    """
    classes = probabilities.shape[1]
    labels = labels.flatten()
    counted = labels != ignore_index
    probabilities = probabilities.transpose(0, 1).reshape(classes, -1)
    class_index = torch.arange(classes, device=labels.device)[:, None]
    foreground = (labels == class_index).to(probabilities.dtype)
    # an ignored pixel has error 0, so it is sorted last and adds nothing to the sum
    errors = (foreground - probabilities).abs() * counted
    errors, order = errors.sort(dim=1, descending=True)
    weights = _jaccard_steps(
        foreground.gather(1, order), counted.expand(classes, -1).gather(1, order)
    )
    losses = (errors * weights).sum(1)
    present = foreground.any(1).to(losses.dtype)
    return (losses * present).sum() / present.sum().clamp(min=1)


def _jaccard_steps(foreground: Tensor, counted: Tensor) -> Tensor:
    """Return by how much the Jaccard loss grows with each pixel taken as wrong, in this order.

    Args:
        foreground: (C, N), 1 where the pixel is of the class, by falling error.
        counted: (C, N), False where the pixel is ignored.

    Returns:
        Tensor: (C, N), not negative; a row sums to 1 if its class has a pixel.
    """
    total = foreground.sum(1, keepdim=True)
    intersection = total - foreground.cumsum(1)
    union = total + (counted * (1 - foreground)).cumsum(1)
    jaccard = 1 - intersection / union.clamp(min=1)
    return torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], dim=1)
