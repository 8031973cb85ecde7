"""Entropy minimisation of what the norms scale and shift."""

from mmseg.registry import MODELS
from torch import Tensor

from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor, Views
from mmseg_uvpt.models.segmentors.source import head_parts
from mmseg_uvpt.models.tuners.tuner import NORMS


@MODELS.register_module()
class Tent(AdaptedSegmentor):
    """Minimises the mean entropy of the predictions by weight and bias of all norms alone.

    Wang et al., "Tent: Fully Test-Time Adaptation by Entropy Minimization", ICLR 2021: the loss is
    the mean over pixels of H(p) = - sum_c p_c log p_c, of view 1. Weight and bias of the norms of
    backbone, neck and head are tuned, nothing else; batch norms that are tuned compute with the
    statistics of the batch in training. The paper predicts with those, too; here predictions take
    the running statistics, which follow. The paper's learning rates (2.5e-4 by SGD, 1e-3 by Adam)
    are for classifiers: that of the config counts.

    Args:
        tuner: of `AdaptedSegmentor`; None for `Norm`.
        **kwargs: of `AdaptedSegmentor`.
    """

    needs_labels = False
    trains_scale_weights = False

    def __init__(self, tuner: dict | None = None, **kwargs):
        super().__init__(tuner=tuner or {'type': 'Norm'}, **kwargs)
        for part in head_parts(self):
            part.requires_grad_(False)
            for module in part.modules():
                if isinstance(module, NORMS):
                    module.requires_grad_(True)

    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Compute the mean entropy of view 1, in nats."""
        return {'loss_entropy': entropy(views.logits[0]).mean()}


def entropy(logits: Tensor) -> Tensor:
    """Return each pixel's entropy in nats, (B, H, W), of logits (B, C, H, W)."""
    log_probabilities = logits.log_softmax(1)
    return -(log_probabilities.exp() * log_probabilities).sum(1)
