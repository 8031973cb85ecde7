"""An exported file against the model that it was made of."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_uvpt.errors import UserError

TOLERANCE = 1e-4
BATCHES = (1, 2, 1, 3)


class Difference(NamedTuple):
    """Of two networks on some images.

    Attributes:
        size: height and width of the images.
        logits: the largest difference of a logit, as a part of the largest logit.
        labels: part of the pixels that get another label, 0..1.
    """

    size: tuple[int, int]
    logits: float
    labels: float


def sizes_to_compare(size: tuple[int, int], smallest: tuple[int, int]) -> list[tuple[int, int]]:
    """Return a size and three odd ones, of one height and width each above the smallest."""
    height, width = (max(side, 64) for side in smallest)
    return [size, (height + 7, width + 72), (height + 103, width + 1), (height + 30, width + 31)]


def differences(
    eager: Callable[[Tensor], Tensor],
    exported: Callable[[Tensor], Tensor],
    sizes: Iterable[tuple[int, int]],
) -> list[Difference]:
    """Compare two networks on random images, of each size a batch."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for number, size in enumerate(sizes):
        batch = BATCHES[number % len(BATCHES)]
        images = torch.randint(0, 256, (batch, 3, *size), generator=generator, dtype=torch.uint8)
        found.append(difference(size, eager(images), exported(images)))
    return found


def difference(size: tuple[int, int], expected: Tensor, found: Tensor) -> Difference:
    """Compare logits (B, classes, H, W); NaN is as far as can be."""
    logits = ((found - expected).abs().max() / expected.abs().max()).item()
    labels = (found.argmax(1) != expected.argmax(1)).float().mean().item()
    return Difference(size, logits if logits == logits else float('inf'), labels)


def require_same(found: Sequence[Difference]) -> None:
    """Raise a `UserError` unless all differences are below `TOLERANCE`.

    Where they are, a pixel changes its label only between classes whose logits are that close.
    """
    for size, logits, labels in found:
        if logits > TOLERANCE:
            raise UserError(
                f'the exported file differs from the model at {size[0]} x {size[1]}: by '
                f'{logits:.1e} of the largest logit, more than {TOLERANCE:.0e}, and in '
                f'{labels:.1%} of the labels. Nothing was written; another format (--out), or '
                '--fixed-size HEIGHT WIDTH, may do'
            )
