"""What every source-free method is given, and what it gives back."""

from abc import abstractmethod
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.losses.consistency import mix
from mmseg_uvpt.models.segmentors.source import Segmentor, head_parts
from mmseg_uvpt.models.tuners.version_0_1 import as_written_now
from mmseg_uvpt.ops.resizing import resized


class View(NamedTuple):
    """Logits (B, C, h, w) at the head's size, and a map and a prompt (B, c, h, w) a stage."""

    logits: Tensor
    features: tuple[Tensor, ...]
    prompts: tuple[Tensor, ...]


class Views(NamedTuple):
    """A batch as a method sees it; all but features are in float32.

    Args:
        iteration: its number, from 0.
        images: (B, 3, H, W), augmented and normalised, of which the views are resized.
        unaugmented: the same crops before photometric augmentation, normalised likewise; None
            where the training pipeline has no `KeepUnaugmented`.
        labels: (B, H, W), what is to be learnt: of the label bank, of files, or of a teacher; 255
            where there is none. Or probabilities (B, C, H, W) of a teacher; or None.
        weights: (B, H, W), how much each label counts; None where all count alike.
        logits: of each view (B, C, H, W), resized to the labels.
        features, prompts: of each stage those of the views, each of its own size; features only
            for a method that ``uses_features``.
        scale_weights: (views,), before the softmax: how much each view counts in a mixture.
        samples: the batch's data samples, for what a hook of the method has put into them.
    """

    iteration: int
    images: Tensor
    unaugmented: Tensor | None
    labels: Tensor | None
    weights: Tensor | None
    logits: list[Tensor]
    features: list[tuple[Tensor, ...]]
    prompts: list[tuple[Tensor, ...]]
    scale_weights: Tensor
    samples: Sequence = ()


class Batch(NamedTuple):
    """What of `Views` is there before the views are run."""

    images: Tensor
    unaugmented: Tensor | None
    labels: Tensor | None
    weights: Tensor | None = None


class Prediction(NamedTuple):
    """For the label correction: label (B, H, W) uint8 and its confidence in 1e-3..1 - 1e-3."""

    label: Tensor
    confidence: Tensor


class AdaptedSegmentor(Segmentor):
    """A source model and its tuner, trained without labels by what a subclass defines: a method.

    Who trains calls `begin_training` once, sets ``iteration`` before each `loss`, which sets
    ``last_prediction``, and calls `after_iteration` when the weights have changed. Buffers of a
    method, such as those of a teacher, are its `training_state`; they are not persistent, so that
    files of all methods hold the same.

    Args:
        backbone: config of the source model's backbone.
        tuner: config of a `Tuner`, what is trained of the backbone or beside it. Head and scale
            weights are trained, too. Frozen parts still run in train mode, drop path included, but
            for their batch norms.
        source_checkpoint: source model that a training starts from; who trains loads it.
        view_scales: sizes of the views; the first one is trained on the labels.
        keep_statistics: whether the source model's batch norms keep their mean and variance in the
            training and normalise by them. Otherwise those that are trained, and the head's,
            normalise by each batch's, and their running statistics follow.
        anchors: configs of what holds the model near the source model, whatever the method
            (`methods.anchors`).
        tune: of version 0.1, see `version_0_1`.
        **kwargs: of mmseg's `EncoderDecoder`.

    Raises:
        ValueError: the tuner does not fit the backbone; the head has a single class; there is an
            auxiliary head, which no method has a loss for; a view has no size.
    """

    uses_features = False
    needs_labels = True
    trains_scale_weights = True  # several processes wait for all gradients
    iteration = 0
    last_prediction: Prediction | None = None

    def __init__(
        self,
        backbone: dict,
        tuner: dict | None = None,
        source_checkpoint: str | None = None,
        view_scales: Sequence[float] = (1.0,),
        keep_statistics: bool = False,
        anchors: Sequence[dict] = (),
        tune: str | None = None,
        **kwargs,
    ):
        if not view_scales or min(view_scales) <= 0:
            raise ValueError(f'view_scales={view_scales}: must be numbers above 0')
        given = {'backbone': backbone, 'tuner': tuner} | ({'tune': tune} if tune else {})
        backbone, tuner = itemgetter('backbone', 'tuner')(as_written_now(given))
        super().__init__(
            backbone={'type': 'Prompts', **(tuner or {}), 'staged': backbone}, **kwargs
        )
        if self.with_auxiliary_head:
            raise ValueError('auxiliary_head: no method has a loss for it, leave it out (None)')
        if self.num_classes < 2:
            raise ValueError(f'{self.num_classes} class: of a single one nothing is uncertain')
        self.source_checkpoint = source_checkpoint
        self.view_scales = tuple(view_scales)
        self.keep_statistics = keep_statistics
        weights = torch.ones(len(self.view_scales))
        self.scale_weights = nn.Parameter(weights, requires_grad=self.trains_scale_weights)
        self.anchors = nn.ModuleList(MODELS.build(anchor) for anchor in anchors)
        if not self.backbone.tunes_head:
            for part in head_parts(self):
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> 'AdaptedSegmentor':
        """Set the mode; batch norms that keep their statistics stay in eval mode."""
        super().train(mode)
        for name, module in self.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and self._keeps(name, module):
                module.eval()
        return self

    def _keeps(self, name: str, norm: nn.Module) -> bool:
        part, _, inside = name.partition('.')
        if part != 'backbone':
            return self.keep_statistics
        is_trained = any(parameter.requires_grad for parameter in norm.parameters())
        return not is_trained or (self.keep_statistics and not self.backbone.is_added(inside))

    @abstractmethod
    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Return scalars: what has ``loss`` in its name is trained on, the others are logged."""

    def prepare(self, batch: Batch) -> Batch:
        """Return what the network is to see and to learn: a method with a teacher changes it."""
        return batch

    def begin_training(self) -> None:
        """Is called before the first iteration, when the weights are those of the source model."""
        for anchor in self.anchors:
            anchor.begin(self)

    def after_iteration(self) -> None:
        """Is called when the weights have changed."""
        for anchor in self.anchors:
            anchor.after_iteration(self)

    def weights_to_predict_with(self) -> dict[str, Tensor]:
        """Return the tensors that replace the state dict's in predictions: none."""
        return {}

    def training_state(self) -> dict[str, Tensor]:
        """Return what a training needs to go on, beside the weights: the method's own buffers."""
        network = ('backbone.', 'neck.', 'decode_head.', 'data_preprocessor.')
        return {n: buffer for n, buffer in self.named_buffers() if not n.startswith(network)}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `training_state` returned; the tensors become the model's."""
        for name, tensor in state.items():
            module, _, buffer = name.rpartition('.')
            self.get_submodule(module).register_buffer(buffer, tensor, persistent=False)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Run the views of images (B, 3, H, W), and compute the losses of the method.

        The samples' ``gt_sem_seg`` (1, H, W) is the current label, for a method that needs any.
        Without labels, images of several sizes are cropped to their common size, since only labels
        mark padding.
        """
        labels = None
        if self.needs_labels:
            labels = torch.stack([sample.gt_sem_seg.data for sample in data_samples]).squeeze(1)
        else:
            sizes = [sample.get('img_shape', inputs.shape[2:]) for sample in data_samples]
            height, width = (min(sides) for sides in zip(*sizes, strict=True))
            inputs = inputs[..., :height, :width]
        unaugmented = self._unaugmented(data_samples, *inputs.shape[2:])
        batch = self.prepare(Batch(inputs, unaugmented, labels))
        logits, features, prompts = zip(*self.run_views(batch.images), strict=True)
        size = batch.images.shape[2:]
        if self.needs_labels:
            self.last_prediction = self.predict_for_correction(logits, size)
        large = [resized(x, size, align_corners=True).float() for x in logits]
        prompts = [[prompt.float() for prompt in stages] for stages in prompts]
        stages = [list(zip(*maps, strict=True)) for maps in (features, prompts)]
        views = Views(self.iteration, *batch, large, *stages, self.scale_weights, data_samples)
        losses = self.loss_by_views(views)
        for anchor in self.anchors:
            more = anchor.losses(self, views)
            if twice := losses.keys() & more.keys():
                raise ValueError(f'{type(anchor).__name__}: another loss is called {min(twice)!r}')
            losses |= more
        return losses

    def run_views(self, images: Tensor) -> list[View]:
        """Run the network on each view of images (B, 3, H, W)."""
        return [self.run_view(images, scale) for scale in self.view_scales]

    def run_view(self, images: Tensor, scale: float) -> View:
        """Run the network on one view of images (B, 3, H, W)."""
        if scale != 1:
            size = [max(1, int(side * scale)) for side in images.shape[2:]]
            images = resized(images, size, align_corners=True)
        features, prompts = self.backbone.features_and_prompts(images)
        features_for_method = features if self.uses_features else ()
        if self.with_neck:
            features = self.run_neck(features, images.shape[2:])
        return View(self.decode_head(features).float(), features_for_method, prompts)

    @torch.no_grad()
    def predict_for_correction(self, logits: Sequence[Tensor], size: Sequence[int]) -> Prediction:
        """Mix the views at the labels' size (height, width), resized as at test time."""
        views = [resized(x, size, self.align_corners).float().softmax(1) for x in logits]
        confidence, label = mix(views, self.scale_weights).max(1)
        return Prediction(label.to(torch.uint8), confidence)

    def _unaugmented(self, data_samples: list, height: int, width: int) -> Tensor | None:
        images = [sample.metainfo.get('unaugmented') for sample in data_samples]
        if images[0] is None:
            return None
        same = []
        for image, sample in zip(images, data_samples, strict=True):
            if tuple(image.shape[1:]) != tuple(sample.get('img_shape', image.shape[1:])):
                raise ValueError(
                    'KeepUnaugmented keeps images of other places: in the pipeline it stands '
                    'behind what crops and resizes'
                )
            alone = self.data_preprocessor({'inputs': [image], 'data_samples': [sample]})['inputs']
            cut = alone[..., :height, :width]
            same.append(F.pad(cut, (0, width - cut.shape[3], 0, height - cut.shape[2])))
        return torch.cat(same)


def agreement(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the percentage of labelled pixels (B, H, W) whose largest logit is their label's."""
    counted = labels != 255
    agrees = (logits.max(1).indices == labels) & counted
    return 100 * agrees.sum() / counted.sum().clamp(min=1)
