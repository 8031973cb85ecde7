"""New statistics in batch norms, and no training."""

import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor, View, Views
from mmseg_uvpt.models.segmentors.source import norms_of_head, norms_of_source

PARTS = ('head', 'model')


@MODELS.register_module()
class AdaBN(AdaptedSegmentor):
    """Renews mean and variance of batch norms on target images; nothing is trained.

    Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2017. Each view of
    each batch counts alike: a statistic is the mean of those of all batches. The backbone runs
    without drop path, as it will predict.

    Args:
        tuner: of `AdaptedSegmentor`; None for `Statistics`.
        parts: whose norms: ``'head'``, those of the frozen backbone stay as they are; or
            ``'model'``, as the paper does.
        momentum: None for the mean of all batches, which begins anew; or how far the statistics
            move to those of each batch, from the source model's on: what a stream needs, whose
            images are predicted on the way.
        **kwargs: of `AdaptedSegmentor`.

    Raises:
        ValueError: these parts have no batch norms that keep statistics; ``parts`` is neither of
            the two; ``momentum`` is no share; ``keep_statistics`` is set.
    """

    needs_labels = False

    def __init__(
        self,
        tuner: dict | None = None,
        parts: str = 'head',
        momentum: float | None = None,
        **kwargs,
    ):
        super().__init__(tuner=tuner or {'type': 'Statistics'}, **kwargs)
        if self.keep_statistics:
            raise ValueError('keep_statistics=True: AdaBN renews them')
        if momentum is not None and not 0 < momentum <= 1:
            raise ValueError(f'momentum={momentum!r}: must be None or in 0..1')
        if parts not in PARTS:
            raise ValueError(f'parts={parts!r}: must be one of {", ".join(PARTS)}')
        self._norms_of = norms_of_head if parts == 'head' else norms_of_source
        if not self._norms_of(self):
            raise ValueError(f'the {parts} has no batch norms to renew')
        for norm in self._norms_of(self):
            norm.momentum = momentum

    def begin_training(self) -> None:
        """Forget the statistics of the source domain, unless they are to move."""
        super().begin_training()
        for norm in self._norms_of(self):
            if norm.momentum is None:
                norm.reset_running_stats()

    def train(self, mode: bool = True) -> 'AdaBN':
        """Set the mode of all but the backbone, of which only norms that are renewed get it."""
        super().train(mode)
        self.backbone.eval()
        for norm in self._norms_of(self):
            norm.train(mode)
        return self

    @torch.no_grad()
    def run_view(self, images: Tensor, scale: float) -> View:
        """Run the network without gradients."""
        return super().run_view(images, scale)

    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Return a loss that is 0: nothing is trained."""
        return {'loss_none': 0 * views.scale_weights.sum()}
