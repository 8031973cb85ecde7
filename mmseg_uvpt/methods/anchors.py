"""What holds a model near its source model, whatever the method: entries of ``model.anchors``."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.methods.weight_copy import WeightCopy, trained
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor, Views
from mmseg_uvpt.ops.resizing import resized


class Anchor(nn.Module):
    """Keeps the source model as ``source``: what is tuned, as it was when training began.

    What a tuner adds is held at its own beginning, where the model predicts as the source model
    does. The copy is a state of the training: a resumed run has it, files of models do not.
    """

    def __init__(self):
        super().__init__()
        self.source = WeightCopy()

    def begin(self, model: AdaptedSegmentor) -> None:
        """Is called before the first iteration, when the weights are those of the source model."""
        self.source.take(model)

    def losses(self, model: AdaptedSegmentor, views: Views) -> dict[str, Tensor]:
        """Return scalars, as `AdaptedSegmentor.loss_by_views` does, to be added to the method's."""
        return {}

    def after_iteration(self, model: AdaptedSegmentor) -> None:
        """Is called when the weights have changed, and a teacher has followed them."""

    def parameters_and_source(self, model: AdaptedSegmentor) -> list[tuple[Tensor, Tensor]]:
        """Return each tuned parameter with the source's; statistics of norms follow the target."""
        source = self.source.tensors()
        tuned = [(name, tensor) for name, tensor in trained(model) if tensor.requires_grad]
        return [(tensor, source[name]) for name, tensor in tuned]


@MODELS.register_module()
class PullToSource(Anchor):
    """Pulls each tuned parameter to the source model's: w <- (1 - weight) w + weight w_source.

    After each step: a decoupled weight decay whose centre is the source model, as that of L2-SP is
    (Li et al., "Explicit Inductive Bias for Transfer Learning", ICML 2018).

    Args:
        weight: of the source model, 0..1; 0.01 leaves 0.99 of what the step made.

    Raises:
        ValueError: ``weight`` is out of its range.
    """

    def __init__(self, weight: float = 0.01):
        super().__init__()
        self.weight = _share('weight', weight)

    @torch.no_grad()
    def after_iteration(self, model: AdaptedSegmentor) -> None:
        """Pull once."""
        for tensor, source in self.parameters_and_source(model):
            tensor.lerp_(source, self.weight)


@MODELS.register_module()
class RestoreWeights(Anchor):
    """Gives random parameters the source's values back after each step (stochastic restoration).

    CoTTA; Wang et al., "Continual Test-Time Domain Adaptation", CVPR 2022. Each number of each
    tuned parameter returns with the same probability. Which ones do depends on the iteration
    alone: several processes restore the same.

    Args:
        share: that probability, 0..1; 0.01 as in CoTTA.

    Raises:
        ValueError: ``share`` is out of its range.
    """

    def __init__(self, share: float = 0.01):
        super().__init__()
        self.share = _share('share', share)

    @torch.no_grad()
    def after_iteration(self, model: AdaptedSegmentor) -> None:
        """Restore once."""
        random = torch.Generator(model.scale_weights.device).manual_seed(model.iteration)
        for tensor, source in self.parameters_and_source(model):
            restored = torch.rand(tensor.shape, generator=random, device=tensor.device) < self.share
            tensor.copy_(torch.where(restored, source, tensor))


@MODELS.register_module()
class SourceConsistency(Anchor):
    """Adds the mean over pixels of KL(source's prediction || the model's), of view 1.

    Knowledge distillation from the model that was begun with, as learning without forgetting has it
    (Li and Hoiem, ECCV 2016). With q the source's and p the model's probabilities of a pixel, its
    part is ``sum_c q_c (log q_c - log p_c)``.

    The source model sees ``views.unaugmented`` where there is one, which shows at each pixel what
    ``views.images`` shows, also where the method mixed images. Otherwise it sees the images
    themselves.

    Args:
        weight: of the loss, at least 0.

    Raises:
        ValueError: ``weight`` is negative.
    """

    def __init__(self, weight: float = 1.0):
        super().__init__()
        if weight < 0:
            raise ValueError(f'weight={weight!r}: must be at least 0')
        self.weight = weight

    def losses(self, model: AdaptedSegmentor, views: Views) -> dict[str, Tensor]:
        """Run the source model, and compare."""
        images = views.images if views.unaugmented is None else views.unaugmented
        with self.source.in_place_of_weights(model):
            # not `model.run_views`, which may be compiled
            logits = AdaptedSegmentor.run_view(model, images, model.view_scales[0]).logits
        logits = resized(logits, images.shape[2:], align_corners=True).float()  # as views are
        logs = [x.log_softmax(1) for x in (views.logits[0], logits)]
        divergence = F.kl_div(*logs, reduction='none', log_target=True).sum(1).mean()
        return {'loss_source_consistency': self.weight * divergence}


def _share(name: str, share: float) -> float:
    if not 0 <= share <= 1:
        raise ValueError(f'{name}={share!r}: must be in 0..1')
    return share
