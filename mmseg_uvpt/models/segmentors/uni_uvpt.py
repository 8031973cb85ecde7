"""The model that is adapted: three views, pseudo labels, and consistency between the views."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.acceleration.checkpointing import recomputed
from mmseg_uvpt.acceleration.frozen import freeze, hold
from mmseg_uvpt.acceleration.host_copy import Arriving
from mmseg_uvpt.checkpoints.loading import CheckedLoading, load_source_model
from mmseg_uvpt.engine.inference.labels import PredictsLabels
from mmseg_uvpt.models.losses.consistency import (
    CONFIDENT,
    entropy_regulariser,
    mix,
    prediction_consistency,
    prompt_consistency,
)
from mmseg_uvpt.models.losses.lovasz import lovasz_softmax
from mmseg_uvpt.ops.autocast import autocast_type
from mmseg_uvpt.ops.resizing import resized

VIEW_SCALES = (1.0, 0.5, 2.0)
TUNED = ('prompts', 'head', 'all')


class Views(NamedTuple):
    """What the losses are made of; lists have an entry a view, probabilities are in float32.

    ``labels`` (B, H, W) hold 255 where there is none. ``logits`` and ``log_probabilities`` are
    (B, C, H, W), resized to the labels, as is ``mixture``, the views' weighted mean probability.
    ``prompts`` has of each stage the views' prompts (B, c, h, w), each of its own size.
    """

    labels: Tensor
    logits: list[Tensor]
    log_probabilities: list[Tensor]
    probabilities: list[Tensor]
    mixture: Tensor
    prompts: list[tuple[Tensor, ...]]


class Prediction(NamedTuple):
    """What the label correction is handed after an iteration, in main memory.

    ``label`` (B, H, W) uint8 and ``confidence`` (B, H, W) in 1e-3..1 - 1e-3, as the network saw
    the images: cropped, and flipped where they were.
    """

    label: Tensor
    confidence: Tensor


@MODELS.register_module()
class UniUVPT(CheckedLoading, PredictsLabels, EncoderDecoder):
    """Uni-UVPT: a frozen source model with prompts, tuned on its own pseudo labels.

    Args:
        source_checkpoint: source model that `init_weights` starts from; None for none.
        tune: what is trained: ``'prompts'`` (the method: prompts, head, scale weights), ``'head'``
            or ``'all'``. Frozen parts still run in train mode, drop path included.
        entropy_weight: of the entropy regulariser within the self-training loss.
        prediction_weight: of the prediction consistency.
        prompt_weight: of the prompt consistency of each stage.
        view_scales: sizes of the views; the first one is trained on the labels.
        confidence_floor: of the mixture, from which its pixels count in the prediction consistency.
        lovasz_bins: None for the exact Lovasz-softmax; a number for that of a histogram, which is
            off by at most 1 / ``lovasz_bins`` (`lovasz_softmax`).
        low_memory: run the parts of the model a second time in the backward pass instead of
            keeping what they computed (`recomputation.recomputed`).
        **kwargs: passed to mmseg's `EncoderDecoder`; the backbone is a `PromptedBackbone`.

    Raises:
        ValueError: ``tune`` is none of the three; the head has a single class; a view has no size.
    """

    def __init__(
        self,
        source_checkpoint: str | None = None,
        tune: str = 'prompts',
        entropy_weight: float = 5e-3,
        prediction_weight: float = 1.0,
        prompt_weight: float = 1e-3,
        view_scales: Sequence[float] = VIEW_SCALES,
        confidence_floor: float = CONFIDENT,
        lovasz_bins: int | None = None,
        low_memory: bool = False,
        **kwargs,
    ):
        if tune not in TUNED:
            raise ValueError(f'tune={tune!r}: must be one of {", ".join(TUNED)}')
        if not view_scales or min(view_scales) <= 0:
            raise ValueError(f'view_scales={view_scales}: must be numbers above 0')
        super().__init__(**kwargs)
        if self.num_classes < 2:
            raise ValueError(f'{self.num_classes} class: of a single one nothing is uncertain')
        self.source_checkpoint = source_checkpoint
        self.entropy_weight = entropy_weight
        self.prediction_weight = prediction_weight
        self.prompt_weight = prompt_weight
        self.view_scales = tuple(view_scales)
        self.confidence_floor = confidence_floor
        self.lovasz_bins = lovasz_bins
        self.low_memory = low_memory
        self.scale_weights = nn.Parameter(torch.ones(len(self.view_scales)))
        self._prediction: Arriving | None = None
        if tune != 'all':
            freeze(self.backbone.staged)
        if tune == 'head':
            self.backbone.requires_grad_(False)

    def init_weights(self) -> None:
        """Initialise, then take backbone and head from the source model.

        Raises:
            UserError: the source checkpoint is missing or does not fit.
        """
        super().init_weights()
        if self.source_checkpoint:
            load_source_model(self, self.source_checkpoint)

    @property
    def last_prediction(self) -> Prediction | None:
        """The prediction of the last `loss`, once it has arrived from a GPU; None before."""
        return self._prediction and Prediction(*self._prediction.wait())

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Compute the losses of the three views (paper section 3; docs/method.md).

        Args:
            inputs: (B, 3, H, W), normalised.
            data_samples: B samples whose ``gt_sem_seg`` (1, H, W) is the bank's current label.

        Returns:
            dict: ``loss_self_training``, ``loss_prediction_consistency``,
            ``loss_prompt_consistency_{stage}`` and, for the log, ``acc_seg``: the percentage of
            labelled pixels where view 1 agrees with the label. ``last_prediction`` is set.
        """
        labels = torch.stack([sample.gt_sem_seg.data for sample in data_samples]).squeeze(1)
        dtype = autocast_type(inputs)
        if dtype:
            hold(self.backbone.staged, dtype)
        logits, prompts = zip(*self.run_views(inputs), strict=True)
        self._predict_for_correction(logits, labels.shape[1:])
        large = [resized(x, labels.shape[1:], align_corners=True).float() for x in logits]
        log_probabilities = [x.log_softmax(1) for x in large]
        probabilities = [x.exp() for x in log_probabilities]
        mixture = mix(probabilities, self.scale_weights)
        stages = list(zip(*prompts, strict=True))
        return self.loss_by_views(
            Views(labels, large, log_probabilities, probabilities, mixture, stages)
        )

    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Compute the losses from what the views gave.

        A subclass may add terms of its own: each entry whose name has ``loss`` in it is trained on,
        the others are logged.
        """
        probabilities, log_probabilities = views.probabilities, views.log_probabilities
        losses = {
            'loss_self_training': lovasz_softmax(
                probabilities[0], views.labels, bins=self.lovasz_bins
            )
            + self.entropy_weight * entropy_regulariser(probabilities[0], log_probabilities[0]),
            'loss_prediction_consistency': self.prediction_weight
            * prediction_consistency(
                probabilities,
                log_probabilities,
                views.mixture,
                views.labels,
                confidence_floor=self.confidence_floor,
            ),
            'acc_seg': _agreement(views.logits[0].detach(), views.labels),
        }
        for stage, prompts in enumerate(views.prompts):
            losses[f'loss_prompt_consistency_{stage}'] = self.prompt_weight * prompt_consistency(
                prompts
            )
        return losses

    def run_views(self, image: Tensor) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
        """Run the views; return the logits (at the head's size, in float32) and prompts of each.

        `engine.compilation.compile_views` puts graphs in its place.
        """
        return [self._view(image, scale) for scale in self.view_scales]

    def _view(self, image: Tensor, scale: float) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one view."""
        if scale != 1:
            size = [max(1, int(side * scale)) for side in image.shape[2:]]
            image = resized(image, size, align_corners=True)
        features, prompts = self.backbone.features_and_prompts(image, self.low_memory)
        head = self.decode_head
        logits = recomputed(head, features) if self.low_memory else head(features)
        # whatever autocast computes in, losses are in float32
        return logits.float(), tuple(p.float() for p in prompts)

    @torch.no_grad()
    def _predict_for_correction(self, logits: tuple[Tensor, ...], size: torch.Size) -> None:
        """Mix the views at the label's size, resized as at test time.

        The copy to main memory is queued here, before the losses and the backward: it is long done
        when the label correction takes it up, which then waits for nothing and works while the GPU
        is at the backward.
        """
        views = [resized(x, size, align_corners=False).float().softmax(1) for x in logits]
        confidence, label = mix(views, self.scale_weights).max(1)
        self._prediction = Arriving(label.to(torch.uint8), confidence)


def _agreement(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the percentage of labelled pixels whose largest logit is their label's.

    mmseg's `accuracy` picks the labelled pixels out, for which it waits for their number.
    """
    counted = labels != 255
    agrees = (logits.max(1).indices == labels) & counted
    return 100 * agrees.sum() / counted.sum().clamp(min=1)
