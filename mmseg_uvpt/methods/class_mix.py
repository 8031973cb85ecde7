"""ClassMix: images of a batch with classes of each other (Olsson et al., WACV 2021)."""

import torch
from torch import Tensor


def class_mix(labels: Tensor, *maps: Tensor) -> list[Tensor]:
    """Paste half of the classes of each image onto the next one of the batch.

    Args:
        labels: (B, H, W), by which the classes are found.
        maps: (B, H, W) or (B, C, H, W): what is to be mixed, such as the images.

    Returns:
        list: the maps, mixed; as they are where the batch has one image.
    """
    if len(labels) == 1:
        return list(maps)
    pasted = torch.stack([_half_of_classes(label) for label in labels]).roll(1, 0)
    return [torch.where(pasted[:, None] if x.ndim == 4 else pasted, x.roll(1, 0), x) for x in maps]


def _half_of_classes(label: Tensor) -> Tensor:
    """Return where (H, W) a label is one of half of its classes, drawn at random."""
    classes = label.unique()
    order = torch.randperm(len(classes)).to(classes.device)
    return torch.isin(label, classes[order[: (len(classes) + 1) // 2]])
