"""ClassMix: images of a batch with classes of each other (Olsson et al., WACV 2021)."""

import torch
from torch import Tensor


def class_mix(images: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Paste half of the classes of each image onto the next one of the batch.

    Args:
        images: (B, 3, H, W).
        labels: (B, H, W), by which the classes are found.
        weights: (B, H, W), pasted with the labels.

    Returns:
        tuple: images, labels and weights, mixed; as they are where the batch has one image.
    """
    if len(images) == 1:
        return images, labels, weights
    pasted = torch.stack([_half_of_classes(label) for label in labels]).roll(1, 0)
    return tuple(
        torch.where(pasted[:, None] if x.ndim == 4 else pasted, x.roll(1, 0), x)
        for x in (images, labels, weights)
    )


def _half_of_classes(label: Tensor) -> Tensor:
    """Return where (H, W) a label is one of half of its classes, drawn at random."""
    classes = label.unique()
    order = torch.randperm(len(classes)).to(classes.device)
    return torch.isin(label, classes[order[: (len(classes) + 1) // 2]])
