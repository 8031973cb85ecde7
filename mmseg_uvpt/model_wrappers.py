"""Modules that hold a segmentor: those of several processes, and of test-time augmentation."""

from torch import nn


def without_wrapper(model: nn.Module) -> nn.Module:
    """Return the segmentor inside its wrappers, which each have it as ``module``."""
    while hasattr(model, 'module'):
        model = model.module
    return model
