"""Masked patches, from masked image consistency (MIC; Hoyer et al., CVPR 2023)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_patches(images: Tensor, patch: int, ratio: float) -> Tensor:
    """Set random square patches of normalised images (B, 3, H, W) to 0, the mean colour.

    Args:
        images: of any size; patches at the right and lower edges are cut off.
        patch: side of a patch, in pixels.
        ratio: probability that a patch is masked, 0..1.
    """
    height, width = images.shape[2:]
    grid = len(images), 1, -(-height // patch), -(-width // patch)
    kept = (torch.rand(grid) >= ratio).to(images)
    kept = F.interpolate(kept, scale_factor=patch, mode='nearest')
    return images * kept[..., :height, :width]
