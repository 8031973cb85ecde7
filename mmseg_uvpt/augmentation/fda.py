"""Fourier domain adaptation (Yang and Soatto, "FDA: Fourier Domain Adaptation for Semantic
Segmentation", CVPR 2020): an image with the low frequencies' amplitude of another."""

import math

import torch
from torch import Tensor


def exchange_amplitude(image: Tensor, target: Tensor, beta: float = 0.005) -> Tensor:
    """Take the amplitude of the lowest frequencies from another image; keep the phase.

    Args:
        image: (..., H, W).
        target: of the same shape, in the same range.
        beta: half-width of the window around frequency 0, as a part of the shorter side.

    Returns:
        Tensor: (..., H, W), float32; values may leave the range of the images a little.

    Raises:
        ValueError: the shapes differ.
    """
    if image.shape != target.shape:
        raise ValueError(f'image {tuple(image.shape)} and target {tuple(target.shape)} differ')
    height, width = image.shape[-2:]
    half = math.floor(beta * min(height, width))
    spectrum = torch.fft.fft2(image.float())
    amplitude, wanted = spectrum.abs(), torch.fft.fft2(target.float()).abs()
    # frequencies -half..half lie at both ends of an axis that was not shifted
    rows, columns = (
        (torch.arange(-half, half + 1, device=image.device) % side) for side in (height, width)
    )
    amplitude[..., rows[:, None], columns] = wanted[..., rows[:, None], columns]
    return torch.fft.ifft2(torch.polar(amplitude, spectrum.angle())).real
