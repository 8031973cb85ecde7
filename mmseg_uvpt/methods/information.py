"""Information maximisation before a frozen classifier."""

from mmengine.dist import all_reduce
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_uvpt.methods.tent import entropy
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor, Views

FLOOR = 1e-5  # added to a class's mean probability in its logarithm, as SHOT does


@MODELS.register_module()
class InformationMaximisation(AdaptedSegmentor):
    """Asks for predictions that are sure a pixel, and of many classes on the whole (SHOT's loss).

    Liang et al., "Do We Really Need to Access the Source Data?", ICML 2020: the mean over pixels
    of the entropy H(p), minus the entropy of the mean prediction, H(mean p), both with weight 1.
    The mean is that of a batch, of all processes, of view 1. The classifier
    (``decode_head.conv_seg``) stays the source model's, and what lies before it is trained. SHOT's
    pseudo labels of clustered features are left out.

    Args:
        tuner: of `AdaptedSegmentor`; None for `All`, as SHOT trains.
        **kwargs: of `AdaptedSegmentor`.
    """

    needs_labels = False
    trains_scale_weights = False

    def __init__(self, tuner: dict | None = None, **kwargs):
        super().__init__(tuner=tuner or {'type': 'All'}, **kwargs)
        if not hasattr(self.decode_head, 'conv_seg'):
            raise ValueError(
                f'{type(self.decode_head).__name__} has no conv_seg, the classifier that stays the '
                "source model's"
            )
        self.decode_head.conv_seg.requires_grad_(False)

    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Compute the two terms, in nats: the second one is negative."""
        own = views.logits[0].softmax(1).mean((0, 2, 3))
        mean = own.detach().clone()
        all_reduce(mean, 'mean')
        mean = mean + own - own.detach()  # the value of all processes, whose gradients are averaged
        return {
            'loss_entropy': entropy(views.logits[0]).mean(),
            'loss_diversity': (mean * (mean + FLOOR).log()).sum(),
        }
