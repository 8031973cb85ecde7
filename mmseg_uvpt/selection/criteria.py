"""What a candidate can be judged by without labels: one function a criterion, higher is better.

All are taken of a few target images. The references of agreements are made by
`engine.inference.judging.Judge`. Probabilities are those of one candidate: of each image a
tensor (C, h, w), float32, that adds up to 1 over the classes. Entropies are in nats.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.evaluation.iou import confusion_matrix, iou_from_counts, mean_iou

AGREEMENTS = ('agreement_source', 'agreement_statistics', 'agreement_bank', 'ensemble')
OF_PROBABILITIES = ('neighbourhood_density', 'information', 'confidence')
CRITERIA = (*AGREEMENTS, *OF_PROBABILITIES)

TEMPERATURE = 0.05
SAMPLED = 512  # pixels of an image between which similarities are taken
_LEAST = 1e-12  # below it a probability adds nothing to an entropy, in float32


def count_agreement(
    labels: Iterable[Tensor], reference: Iterable[Tensor], num_classes: int
) -> ImageCounts:
    """Count on each image where a candidate says what a reference says.

    Args:
        labels: classes (h, w) of each image, by the candidate.
        reference: likewise, by something else; 255 where it says nothing.
        num_classes: number of classes.
    """
    pairs = zip(labels, reference, strict=True)
    return ImageCounts.of(confusion_matrix(mine, other, num_classes) for mine, other in pairs)


def agreement(counts: ImageCounts) -> float:
    """Return the mean IoU with a reference, in percent, over the classes that the reference has.

    The reference is the source model over scales and flips (``agreement_source``), the same with
    new statistics in its batch norms (``agreement_statistics``; Li et al., "Revisiting Batch
    Normalization For Practical Domain Adaptation", 2017), the label bank as it is at that iteration
    (``agreement_bank``), or the argmax of the mean probability of all candidates (``ensemble``:
    EnsV; Hu et al., "Towards Reliable Model Selection for Unsupervised Domain Adaptation: An
    Empirical Study and A Certified Baseline", NeurIPS 2024). NaN where the reference says nothing.
    """
    intersection, union, truth = (
        x.sum(axis=0) for x in (counts.intersection, counts.union, counts.truth)
    )
    present = truth > 0
    iou = iou_from_counts(intersection, union, present)
    return 100 * mean_iou(iou, present, range(len(present)))


def confidence(probabilities: Sequence[Tensor]) -> float:
    """Return minus the mean entropy of the pixels: - mean H(p); images count alike."""
    return -_mean([_entropy(p).mean() for p in probabilities])


def information(probabilities: Sequence[Tensor]) -> float:
    """Return the information that predictions have of the images: H(mean p) - mean H(p).

    It is large where pixels are sure and classes are many (Gomes et al., "Discriminative
    Clustering by Regularized Information Maximization", NIPS 2010; the term of SHOT, Liang et al.,
    ICML 2020).
    """
    mean = torch.stack([p.flatten(1).mean(1) for p in probabilities]).mean(0)
    return float(_entropy(mean)) + confidence(probabilities)


def neighbourhood_density(probabilities: Sequence[Tensor]) -> float:
    """Return the soft neighbourhood density, mean over images.

    (Saito et al., "Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft
    Neighborhood Density", ICCV 2021.) Of `SAMPLED` pixels of an image, the same for all candidates:
    entropy of the softmax of a pixel's cosine similarities with the others over `TEMPERATURE`, mean
    over the pixels. It is large where each pixel has many that are predicted as it is.
    """
    draw = torch.Generator().manual_seed(0)
    return _mean([_density(p.flatten(1), draw) for p in probabilities])


def _density(p: Tensor, draw: torch.Generator) -> Tensor:
    pixels = torch.randperm(p.shape[1], generator=draw)[:SAMPLED]
    directions = torch.nn.functional.normalize(p[:, pixels], dim=0)
    similarities = (directions.T @ directions / TEMPERATURE).fill_diagonal_(-torch.inf)
    return _entropy(similarities.softmax(0)).mean()


def _entropy(p: Tensor) -> Tensor:
    """Return the entropy over the first dimension."""
    return -(p * p.clamp(min=_LEAST).log()).sum(0)


def _mean(values: Sequence[Tensor]) -> float:
    return float(torch.stack(list(values)).double().mean())
