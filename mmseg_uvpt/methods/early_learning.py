"""Early-learning regularisation: what was predicted early outweighs labels that are wrong."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_uvpt.methods.self_training import SelfTraining
from mmseg_uvpt.models.segmentors.adaptation import Views

FLOOR = 1e-4  # of probabilities, as in the authors' code: the logarithm stays finite


@MODELS.register_module()
class EarlyLearning(SelfTraining):
    """Self-training on fixed pseudo labels, with a memory of the predictions of each image.

    Liu et al., "Early-Learning Regularization Prevents Memorization of Noisy Labels", NeurIPS 2020.
    Networks learn right labels first and memorise wrong ones later. With p the probabilities of
    view 1 and t their moving average over the visits to an image, the loss is cross entropy plus
    ``weight * mean(log(1 - <p, t>))``, which falls as p comes nearer to t.

    Both are those of cells of 4 x 4 pixels, one a logit; those of a cell are the mean
    of its pixels'. Cells without a labelled pixel do not count. An `EarlyLearningHook` keeps t from
    one visit to the next.

    Args:
        weight: of the regulariser; 3 as in the paper for CIFAR-10.
        momentum: t <- momentum * t + (1 - momentum) * p, before the loss is taken; in 0..1, 0.7 as
            in the paper for CIFAR-10. At the first visit t is p.
        **kwargs: of `SelfTraining`.

    Attributes:
        last_averages: (B, C, h, w) t of the last ``loss``.

    Raises:
        ValueError: ``momentum`` is out of its range.
    """

    average_stride = 4
    last_averages: Tensor | None = None

    def __init__(self, weight: float = 3.0, momentum: float = 0.7, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= momentum <= 1:
            raise ValueError(f'momentum={momentum!r}: must be in 0..1')
        self.weight, self.momentum = weight, momentum

    def loss_by_views(self, views: Views) -> dict[str, Tensor]:
        """Compute cross entropy, regulariser and ``acc_seg``.

        Raises:
            ValueError: no hook gives the averages.
        """
        probabilities = self._of_cells(views.logits[0].softmax(1)).clamp(FLOOR, 1 - FLOOR)
        averages = self._follow(_stack(views.samples, probabilities), probabilities.detach())
        self.last_averages = averages
        overlap = (probabilities * averages).sum(1)
        counted = self._of_cells((views.labels != 255)[:, None].float())[:, 0] > 0
        regulariser = ((1 - overlap).log() * counted).sum() / counted.sum().clamp(min=1)
        return {
            **super().loss_by_views(views),
            'loss_early_learning': self.weight * regulariser,
        }

    def _of_cells(self, pixels: Tensor) -> Tensor:
        """Return the means (B, C, h, w) of cells of a map; those at the edges may be smaller."""
        return F.avg_pool2d(pixels, self.average_stride, ceil_mode=True)

    def _follow(self, averages: Tensor, probabilities: Tensor) -> Tensor:
        """Move averages towards probabilities, each (B, C, h, w); the result sums up to 1."""
        probabilities = probabilities / probabilities.sum(1, keepdim=True)
        is_first = averages.sum(1, keepdim=True) == 0
        averages = torch.where(is_first, probabilities, averages)
        averages = self.momentum * averages + (1 - self.momentum) * probabilities
        return averages / averages.sum(1, keepdim=True)  # they are kept in float16, which rounds


def _stack(samples: list, like: Tensor) -> Tensor:
    """Return the averages of samples (B, C, h, w), 0 where images are padded."""
    if not all('moving_average' in sample for sample in samples):
        raise ValueError(
            'EarlyLearning needs the averages that a hook keeps: '
            'default_hooks.label_correction.type=EarlyLearningHook'
        )
    kept = [sample.moving_average.data.to(like) for sample in samples]
    height, width = like.shape[2:]
    return torch.stack([F.pad(x, (0, width - x.shape[2], 0, height - x.shape[1])) for x in kept])
