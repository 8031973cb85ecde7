"""The entropy regulariser of self-training (Uni-UVPT, NeurIPS 2023); that of Tent is another."""

import math

from torch import Tensor


def entropy_regulariser(probabilities: Tensor, log_probabilities: Tensor) -> Tensor:
    """Penalise uncertain pixels: the mean of ((E / ln C)^2 + 1e-8)^2, E a pixel's entropy.

    Args:
        probabilities, log_probabilities: (B, C, H, W).

    Returns:
        Tensor: scalar in 0..1, over all pixels, ignored ones included.
    """
    # the published code writes ln 19 as 2.9444
    entropy = -(probabilities * log_probabilities).sum(1)
    relative = entropy / round(math.log(log_probabilities.shape[1]), 4)
    return ((relative**2 + 1e-8) ** 2).mean()
