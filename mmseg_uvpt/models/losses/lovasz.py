"""Lovasz-softmax (Berman et al., "The Lovasz-Softmax loss", CVPR 2018)."""

import torch
from torch import Tensor, nn

from mmseg_uvpt.ops.lovasz import lovasz_softmax


class LovaszSoftmax(nn.Module):
    """Convex surrogate of the mean Jaccard loss over the classes present in a batch.

    Args:
        ignore_index: label of pixels that do not count.
        bins: None for Algorithm 1. A number counts the errors in so many bins instead of sorting
            them (`ops.lovasz.by_histogram`): the loss is off by at most 1 / bins.

    Raises:
        ValueError: ``bins`` is less than 1.
    """

    def __init__(self, ignore_index: int = 255, bins: int | None = None):
        super().__init__()
        if bins is not None and bins < 1:
            raise ValueError(f'bins={bins!r}: must be None or at least 1')
        self.ignore_index, self.bins = ignore_index, bins

    def forward(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar in 0..1, of probabilities (B, C, H, W) and labels (B, H, W)."""
        if self.bins is not None:
            return lovasz_softmax(probabilities, labels, self.ignore_index, self.bins)
        counted = labels.flatten() != self.ignore_index
        rows = probabilities.transpose(0, 1).flatten(1)[:, counted]  # (C, N)
        labels = labels.flatten()[counted].long()  # (N,); of uint8 an index would be a mask
        losses = []
        for number in labels.unique():
            foreground = (labels == number).to(rows)
            errors, order = (foreground - rows[number]).abs().sort(descending=True)
            # no product of matrices, which autocast computes in half precision
            losses.append((errors * jaccard_gradient(foreground[order])).sum())
        return torch.stack(losses).mean() if losses else 0 * probabilities.sum()


def jaccard_gradient(foreground: Tensor) -> Tensor:
    """Return what each pixel adds to the Jaccard loss, (N,) (Algorithm 1).

    Args:
        foreground: (N,), 1 where a pixel is of the class, else 0, by falling error.
    """
    intersection = foreground.sum() - foreground.cumsum(0)
    union = foreground.sum() + (1 - foreground).cumsum(0)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:1], jaccard.diff()])
