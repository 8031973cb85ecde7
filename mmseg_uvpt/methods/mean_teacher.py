"""A mean teacher, whose student sees strong augmentation, mixed images and masked patches."""

import torch
from mmengine.dist import all_reduce
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_uvpt.methods.class_mix import class_mix
from mmseg_uvpt.methods.masking import mask_patches
from mmseg_uvpt.methods.self_training import cross_entropy
from mmseg_uvpt.methods.weight_copy import WeightCopy
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor, Batch, Views, agreement
from mmseg_uvpt.models.tuners.tuner import require_whole
from mmseg_uvpt.ops.resizing import resized

LABELS = ('confidence', 'class_quantile', 'soft')


@MODELS.register_module()
class MeanTeacher(AdaptedSegmentor):
    """Learns what a moving average of itself predicts (Tarvainen and Valpola, NeurIPS 2017).

    The teacher sees images as they are, the student the same ones augmented, mixed with those of
    the batch (`class_mix.class_mix`), and once more with patches masked (MIC; Hoyer et al., CVPR
    2023). The teacher is what predicts and what checkpoints hold.

    With q the teacher's label of a pixel, w its weight and p the student's probabilities, the loss
    is the mean over pixels of ``- w log p_q``, the mean of the views, plus the same of the masked
    one. With ``'soft'`` labels it is that of ``- w sum_c q_c log p_c``.

    Args:
        momentum: m of the moving average of what is tuned, buffers included: t <- m t + (1 - m) s
            after each step. 0.999 as in the paper.
        labels: what is learnt of the teacher: its classes, which count by their ``'confidence'``;
            or, by ``'class_quantile'``, those alone that are as confident as that quantile of
            their class; or ``'soft'``, its probabilities.
        quantile: of a class's confidences, for ``'class_quantile'``, 0..1. The threshold of a
            class is a moving average over the iterations that see the class.
        teacher_flips: whether the teacher's probabilities are those of the image and of its mirror
            image, averaged.
        balance: b in 0..1: a pixel counts by the share that its class has of all pixels to the
            power of -b, so that rare classes are not lost to frequent ones; with 0 all count alike.
            A share is a moving average over iterations of what the teacher predicts, in all
            processes; so are the thresholds of ``'class_quantile'``.
        mix: whether images are mixed; a batch of one is not.
        mask_patch: side of the masked patches, in pixels; 64 as in MIC.
        mask_ratio: share of the patches that are masked, 0..1, 0.7 as in MIC; 0 leaves that view
            out.
        **kwargs: of `AdaptedSegmentor`.

    Raises:
        ValueError: an argument is out of its range.
    """

    needs_labels = False
    trains_scale_weights = False

    def __init__(
        self,
        momentum: float = 0.999,
        labels: str = 'confidence',
        quantile: float = 0.5,
        teacher_flips: bool = False,
        balance: float = 0.0,
        mix: bool = True,
        mask_patch: int = 64,
        mask_ratio: float = 0.7,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if labels not in LABELS:
            raise ValueError(f'labels={labels!r}: must be one of {", ".join(LABELS)}')
        given = {'momentum': momentum, 'quantile': quantile, 'balance': balance}
        for name, share in {**given, 'mask_ratio': mask_ratio}.items():
            if not 0 <= share <= 1:
                raise ValueError(f'{name}={share!r}: must be in 0..1')
        require_whole(mask_patch=mask_patch)
        self.momentum, self.labels, self.quantile, self.mix = momentum, labels, quantile, mix
        self.teacher_flips = teacher_flips
        self.mask_patch, self.mask_ratio = mask_patch, mask_ratio
        self.balance, self.teacher = balance, WeightCopy()
        for name in ('thresholds', 'shares'):
            self.register_buffer(name, torch.zeros(self.num_classes), persistent=False)

    def begin_training(self) -> None:
        """Let the teacher be the source model."""
        super().begin_training()
        self.teacher.take(self)
        self.thresholds.zero_()
        self.shares.zero_()

    def after_iteration(self) -> None:
        """Let the teacher follow the student, which anchors change after that (as in CoTTA)."""
        self.teacher.follow(self, self.momentum)
        super().after_iteration()

    def prepare(self, batch: Batch) -> Batch:
        """Return mixed images, what the teacher says of them, and how much each pixel counts."""
        clean = batch.images if batch.unaugmented is None else batch.unaugmented
        probabilities = self.ask_teacher(clean)
        confidence, classes = probabilities.max(1)
        labels, weights = classes, confidence
        if self.labels == 'soft':
            labels, weights = probabilities, torch.ones_like(confidence)
        elif self.labels == 'class_quantile':
            weights = self._is_trusted(confidence, classes).to(confidence)
        if self.balance:
            weights = weights * self._weights_of_classes(probabilities)[classes]
        maps = [batch.images, labels, weights, clean]
        images, labels, weights, clean = class_mix(classes, *maps) if self.mix else maps
        return Batch(images, clean, labels, weights)

    def ask_teacher(self, images: Tensor) -> Tensor:
        """Return the teacher's probabilities (B, C, H, W) of images (B, 3, H, W)."""
        with self.teacher.in_place_of_weights(self):
            probabilities = self._probabilities(images)
            if self.teacher_flips:
                probabilities = (probabilities + self._probabilities(images.flip(3)).flip(3)) / 2
        return probabilities

    def _probabilities(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W), resized as in a prediction: what pseudo labels are made of."""
        logits = AdaptedSegmentor.run_view(self, images, 1).logits
        return resized(logits, images.shape[2:], self.align_corners).softmax(1)

    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Compute the cross entropy of the views and of the masked one, and ``acc_seg``."""
        losses = [cross_entropy(logits, views.labels, views.weights) for logits in views.logits]
        found = {'loss_teacher': sum(losses) / len(losses)}
        if self.mask_ratio:
            masked = mask_patches(views.images, self.mask_patch, self.mask_ratio)
            logits = AdaptedSegmentor.run_view(self, masked, 1).logits
            logits = resized(logits, views.images.shape[2:], align_corners=True)
            found['loss_masked'] = cross_entropy(logits, views.labels, views.weights)
        classes = views.labels.argmax(1) if self.labels == 'soft' else views.labels
        return {**found, 'acc_seg': agreement(views.logits[0].detach(), classes)}

    def weights_to_predict_with(self) -> dict[str, Tensor]:
        """Return the teacher's tensors."""
        return self.teacher.in_files(self)

    def forward(
        self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'
    ) -> object:
        """Do as any segmentor of mmengine; in eval mode the teacher does, once there is one."""
        if self.training or not self.teacher.tensors():  # without training it is what was loaded
            return super().forward(inputs, data_samples, mode)
        with self.teacher.in_place_of_weights(self):
            return super().forward(inputs, data_samples, mode)

    def _weights_of_classes(self, probabilities: Tensor) -> Tensor:
        """Renew the shares of the classes, and return how much a pixel of each counts, (C,).

        The mean over all pixels is 1, unless a class would count more than ten times as much as
        that mean: it then counts ten times as much.
        """
        shares = probabilities.mean((0, 2, 3))
        all_reduce(shares, 'mean')
        shares = torch.where(shares.isfinite(), shares, self.shares)  # such an iteration is skipped
        self.shares.copy_(self.shares.lerp(shares, 0.1) if self.shares.any() else shares)
        weights = self.shares.clamp(min=1e-6) ** -self.balance
        return (weights / (weights * self.shares).sum()).clamp(max=10)

    def _is_trusted(self, confidence: Tensor, labels: Tensor) -> Tensor:
        """Renew the thresholds, and return where a confidence (B, H, W) reaches its class's."""
        found, seen = torch.zeros(2, self.num_classes, device=labels.device)
        for number in labels.unique().tolist():
            values = confidence[labels == number]
            found[number] = values[:: -(-len(values) // 2**24)].quantile(self.quantile)  # its limit
            seen[number] = 1
        for each in (found, seen):
            all_reduce(each)
        new, old = found / seen.clamp(min=1), self.thresholds
        followed = torch.where(old > 0, old.lerp(new, 0.1), new)
        self.thresholds.copy_(torch.where(seen > 0, followed, old))
        return confidence >= self.thresholds[labels]
