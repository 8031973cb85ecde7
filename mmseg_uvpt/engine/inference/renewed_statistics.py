"""New statistics in the batch norms of a model, for good or for a while."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmseg_uvpt.acceleration.running_statistics import kept_statistics, put_back
from mmseg_uvpt.models.segmentors.source import norms_of_head, norms_of_source

Inputs = Callable[[], Iterable[Tensor]]
SHARE = 0.5  # of the target in a backbone's statistics


def renew_statistics(model: nn.Module, inputs: Inputs) -> None:
    """Give the source model's batch norms the mean and variance of images.

    Each batch counts alike: a statistic is the mean of those of all batches (``momentum=None`` of
    torch), and each batch goes through the network with its own ones, as in a training. Those of
    the backbone are then mixed with the source domain's, on which its weights were trained
    (Schneider et al., "Improving Robustness against Common Corruptions by Covariate Shift
    Adaptation", NeurIPS 2020), and those of the head are of what such a backbone gives. The model
    stays in eval mode, so nothing is dropped and no process waits for another; norms that a tuner
    has added keep their statistics, and so do those that are given a single value a channel, as
    behind a pooling of the whole map: one value has no variance.

    Args:
        model: a segmentor in eval mode, without a wrapper.
        inputs: returns batches (B, 3, H, W), normalised, on the model's device; at least one. It
            is called twice where the backbone has batch norms.
    """
    head = norms_of_head(model)
    backbone = [norm for norm in norms_of_source(model) if norm not in head]
    if backbone:
        sources = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in backbone]
        _renew(model, backbone, inputs())
        for norm, (mean, variance) in zip(backbone, sources, strict=True):
            norm.running_mean.copy_(mean.lerp(norm.running_mean, SHARE))
            norm.running_var.copy_(variance.lerp(norm.running_var, SHARE))
    if head:
        _renew(model, head, inputs())


def _renew(model: nn.Module, norms: Sequence[nn.Module], inputs: Iterable[Tensor]) -> None:
    own = {norm: _Own(norm) for norm in norms}
    handles = [norm.register_forward_pre_hook(hook) for norm, hook in own.items()]
    try:
        with torch.no_grad():
            for batch in inputs:
                model(batch, mode='tensor')
            for norm, hook in own.items():
                if hook.batches:
                    norm.running_mean.copy_(hook.mean / hook.batches)
                    norm.running_var.copy_(hook.variance / hook.batches)
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def renewed_statistics(model: nn.Module, inputs: Inputs) -> Iterator[None]:
    """Do as `renew_statistics` while the block runs; then the model has its own ones again."""
    kept = kept_statistics(model)
    try:
        renew_statistics(model, inputs)
        yield
    finally:
        with torch.no_grad():
            put_back(kept)


class _Own:
    """Gives a norm the statistics of what it is about to normalise, and adds them up."""

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm):
        self.batches = 0
        self.mean, self.variance = (torch.zeros_like(norm.running_mean) for _ in range(2))

    def __call__(self, norm: nn.modules.batchnorm._BatchNorm, given: tuple[Tensor]) -> None:
        x = given[0].float()
        count = x.numel() // x.shape[1]
        if count == 1:
            return
        variance, mean = torch.var_mean(x, [i for i in range(x.dim()) if i != 1], correction=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        self.batches += 1
        self.mean += mean
        self.variance += variance * count / (count - 1)
