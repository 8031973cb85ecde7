"""Uni-UVPT (NeurIPS 2023): self-training on view 1, and consistency between the views."""

from collections.abc import Sequence

from mmseg.registry import MODELS
from torch import Tensor

from mmseg_uvpt.models.losses.consistency import (
    FLOOR,
    mix,
    prediction_consistency,
    prompt_consistency,
)
from mmseg_uvpt.models.losses.entropy import entropy_regulariser
from mmseg_uvpt.models.losses.lovasz import LovaszSoftmax
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor, Views, agreement


@MODELS.register_module()
class UniUVPT(AdaptedSegmentor):
    """A frozen source model with prompts, tuned on its own pseudo labels.

    "When Visual Prompt Tuning Meets Source-Free Domain Adaptive Semantic Segmentation" (NeurIPS
    2023), section 3. With L the Lovasz softmax of view 1 against its labels, H its entropy
    regulariser, P the prediction consistency of the views with their mixture, and Q_s the distance
    of the prompts of stage s between the views (`models.losses`), the loss is

        self_training_weight (L + entropy_weight H) + prediction_weight P
            + sum_s prompt_weight Q_s.

    Args:
        self_training_weight: of the self-training loss; 1.
        entropy_weight: of the entropy regulariser within it; 0.005.
        prediction_weight: of the prediction consistency; 1.
        prompt_weight: of the prompt consistency of each stage; 0.001.
        confidence_floor: of the mixture, from which its pixels count in the prediction consistency.
        lovasz_bins: of `LovaszSoftmax`; None for the exact loss.
        view_scales: sizes of the views; the first one is trained on the labels.
        **kwargs: of `AdaptedSegmentor`.

    Raises:
        ValueError: ``confidence_floor`` is one that no mixture reaches.
    """

    def __init__(
        self,
        self_training_weight: float = 1.0,
        entropy_weight: float = 5e-3,
        prediction_weight: float = 1.0,
        prompt_weight: float = 1e-3,
        confidence_floor: float = 0.8,
        lovasz_bins: int | None = None,
        view_scales: Sequence[float] = (1.0, 0.5, 2.0),
        **kwargs,
    ):
        super().__init__(view_scales=view_scales, **kwargs)
        if not 0 <= confidence_floor < 1 - FLOOR:
            raise ValueError(
                f'confidence_floor={confidence_floor!r}: must be in 0..{1 - FLOOR}, above which no '
                'mixture is'
            )
        self.self_training_weight = self_training_weight
        self.entropy_weight = entropy_weight
        self.prediction_weight = prediction_weight
        self.prompt_weight = prompt_weight
        self.confidence_floor = confidence_floor
        self.lovasz = LovaszSoftmax(bins=lovasz_bins)

    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Compute the losses (paper section 3; docs/method.md) and, for the log, ``acc_seg``."""
        log_probabilities = [x.log_softmax(1) for x in views.logits]
        probabilities = [x.exp() for x in log_probabilities]
        mixture = mix(probabilities, views.scale_weights)
        lovasz = self.lovasz(probabilities[0], views.labels)
        entropy = entropy_regulariser(probabilities[0], log_probabilities[0])
        given = (probabilities, log_probabilities, mixture, views.labels)
        consistency = prediction_consistency(*given, confidence_floor=self.confidence_floor)
        losses = {
            'loss_self_training': self.self_training_weight
            * (lovasz + self.entropy_weight * entropy),
            'loss_prediction_consistency': self.prediction_weight * consistency,
            'acc_seg': agreement(views.logits[0].detach(), views.labels),
        }
        for stage, prompts in enumerate(views.prompts):
            distance = prompt_consistency(prompts)
            losses[f'loss_prompt_consistency_{stage}'] = self.prompt_weight * distance
        return losses
