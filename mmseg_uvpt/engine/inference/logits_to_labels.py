"""From logits to labels without all classes at the size of the label.

The float32 logits of one Cityscapes frame at its full size are 160 MB. Labels and scores need only
the class of the largest, so on a CPU classes are resized one by one and compared with the best so
far. A GPU has the memory unless the image is huge, and would wait to be told of three kernels a
class.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor

from mmseg_uvpt.ops.resizing import resized

AT_ONCE = 1 << 30  # bytes of all classes of an image that a GPU resizes together


def largest_channel(x: Tensor) -> tuple[Tensor, Tensor]:
    """Find the largest channel at each pixel.

    Args:
        x: (B, C, H, W), finite, at most 256 channels.

    Returns:
        tuple: the largest value, and as uint8 its channel: the first, where several have it. Both
        are what ``x.max(1)`` gives.
    """
    if x.is_cuda:
        value, channel = x.max(1)
        return value, channel.to(torch.uint8)
    return _largest_of(x.unbind(1))


def _largest_of(maps: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the largest of several maps at each pixel, and the number of its map."""
    maps = iter(maps)
    best = next(maps).clone()
    label = torch.zeros_like(best, dtype=torch.uint8)
    for number, x in enumerate(maps, 1):
        label.masked_fill_(x > best, number)
        torch.maximum(best, x, out=best)
    return best, label


def resized_label(logits: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Return the class of the largest logit after bilinear resizing.

    Args:
        logits: (1, C, h, w).
        size: height and width of the label.
        align_corners: as of `torch.nn.functional.interpolate`.

    Returns:
        Tensor: uint8 (1, H, W).
    """
    if logits.is_cuda and 4 * logits.shape[1] * size[0] * size[1] <= AT_ONCE:
        return largest_channel(resized(logits, size, align_corners))[1]
    return _largest_of(_resized_maps(logits, size, align_corners))[1]


def resized_probability(
    logits: Tensor, size: tuple[int, int], align_corners: bool, temperature: float
) -> Tensor:
    """Return the probability of the class of `resized_label`, in memory for a few classes.

    Args:
        logits: (1, C, h, w).
        size: height and width of the result.
        align_corners: as of `torch.nn.functional.interpolate`.
        temperature: by which logits are divided.

    Returns:
        Tensor: float32 (1, H, W), 0..1.
    """
    best, _ = _largest_of(_resized_maps(logits, size, align_corners))
    total = torch.zeros_like(best)
    for x in _resized_maps(logits, size, align_corners):
        total += ((x - best) / temperature).exp()
    return total.reciprocal_()


def _resized_maps(logits: Tensor, size: tuple[int, int], align_corners: bool) -> Iterator[Tensor]:
    for x in logits.split(1, dim=1):
        yield resized(x, size, align_corners)[:, 0]


def unpad_and_unflip(logits: Tensor, metainfo: dict) -> Tensor:
    """Cut the padding of an image off its logits (B, C, h, w), and turn them back if flipped."""
    left, right, top, bottom = metainfo.get(
        'img_padding_size', metainfo.get('padding_size', (0, 0, 0, 0))
    )
    height, width = logits.shape[2:]
    logits = logits[..., top : height - bottom, left : width - right]
    if metainfo.get('flip'):
        logits = logits.flip({'horizontal': 3, 'vertical': 2}[metainfo['flip_direction']])
    return logits


def split_by_size(images: Sequence, samples: Sequence, alone: bool) -> Iterator[tuple]:
    """Split a batch into parts that the network can take at once.

    Args:
        images: (3, h, w) of any sizes.
        samples: one of each.
        alone: whether each image is a part of its own.

    Yields:
        tuple: consecutive images of one size, and their samples.
    """
    kinds = (number if alone else image.shape for number, image in enumerate(images))
    triples = zip(kinds, images, samples, strict=True)
    for _, part in groupby(triples, key=itemgetter(0)):
        _, *images_and_samples = zip(*part, strict=True)
        yield tuple(images_and_samples)
