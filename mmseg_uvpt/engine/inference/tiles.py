"""Images that are too large for the memory, predicted in overlapping tiles."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise, product
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.files import size_text

# What a network needs for a pixel, measured (docs/performance.md): Swin-B 1.6 kB, MiT-B5 1.5 kB.
BYTES_PER_PIXEL = 2048
SMALL = 2048 * 1024  # pixels of images that are whole on any machine
LARGEST = 2240  # side of a tile
OVERLAP = 448  # of neighbours, at least; each is used up to the middle


class Tiles(NamedTuple):
    """How an image is divided.

    Args:
        side: of a tile; those at the right and the bottom are cut.
        overlap: of neighbours.
    """

    side: int
    overlap: int


def grid_of(model: nn.Module) -> int:
    """Return the pixels from one place where a tile may begin to the next.

    Its patches (of up to 32 pixels in the last stage) and windows (of some of these) begin where
    those of the whole image do, so that the network sees both divided alike.
    """
    grid = 32
    for module in model.modules():
        for side in _numbers(getattr(module, 'window_size', ())):
            if 2 * 32 * side <= LARGEST:  # else it is of the whole image
                grid = math.lcm(grid, 32 * side)
        if isinstance(module, nn.Conv2d) and module.stride == module.kernel_size:  # patches
            grid = math.lcm(grid, *module.stride)
    return grid if 2 * grid <= LARGEST else 32


def _numbers(sides: object) -> list[int]:
    """Return the sides of something that has one, two, or none."""
    found = sides if isinstance(sides, Sequence) else [sides]
    return [side for side in found if isinstance(side, int) and side > 0]


def tiles_for(
    size: Sequence[int],
    free: Callable[[], int],
    grid: Callable[[], int],
    classes: int,
    images: int = 1,
) -> Tiles | None:
    """Return the tiles that images are to be predicted in.

    Args:
        size: height and width that the network is to see.
        free: returns the free bytes; asked for large images only. One of five megapixels, as
            usual photographs have, may take all of them, so that most machines predict it alike
            and in any batch; all larger ones together half of them.
        grid: returns what side and overlap are multiples of.
        classes: whose logits, float32, are kept for the whole image.
        images: of one size that are to be predicted at once.

    Returns:
        Tiles: None where the whole images fit.

    Raises:
        UserError: not even the logits fit.
    """
    pixels = size[0] * size[1]
    if pixels <= SMALL:
        return None
    memory = free()
    if pixels > LARGEST**2:
        memory, pixels = memory // 2, images * pixels
    if pixels * BYTES_PER_PIXEL <= memory:
        return None
    logits = 4 * classes * pixels
    if (left := memory - logits) <= 0:
        raise UserError(
            f'{size[1]} x {size[0]} pixels of {classes} classes take {size_text(logits)}, more '
            f'than is free for them, {size_text(memory)}: have the network see a smaller '
            "image (scale of Resize in the config's test pipeline, without --full-size)"
        )
    step = grid()
    overlap = math.ceil(OVERLAP / step) * step
    fitting = min(LARGEST, int((left / images / BYTES_PER_PIXEL) ** 0.5)) // step * step
    side = max(fitting, 2 * overlap)
    return Tiles(side, overlap) if max(size) > side else None


def in_tiles(network: Callable[[Tensor], Tensor], x: Tensor, tiles: Tiles) -> Tensor:
    """Return the logits (B, C, H, W), in main memory, of images (B, 3, H, W) in tiles.

    Each pixel has those of the tile in which it lies farthest from an edge that the image has not.

    Args:
        network: gives the logits of images at their size.
        x: the images.
        tiles: how they are divided.
    """
    height, width = x.shape[2:]
    logits = None
    for (top, bottom, first, last), (left, right, begin, end) in product(
        _spans(height, tiles), list(_spans(width, tiles))
    ):
        found = network(x[..., top:bottom, left:right])
        if logits is None:
            logits = torch.empty(*found.shape[:2], height, width)
        part = found[..., first - top : last - top, begin - left : end - left]
        logits[..., first:last, begin:end] = part.cpu()
    return logits


def _spans(length: int, tiles: Tiles) -> Iterator[tuple[int, int, int, int]]:
    """Yield begin and end of each tile, and of what is used of it."""
    side, overlap = tiles
    begins = list(range(0, max(length - overlap, 1), side - overlap))
    cuts = [0, *(begin + overlap // 2 for begin in begins[1:]), length]
    for begin, (first, last) in zip(begins, pairwise(cuts), strict=True):
        yield begin, min(begin + side, length), first, last


@cache
def say_tiles(size: tuple[int, int], tiles: Tiles) -> None:
    """Log that images of a size, height and width, are predicted in tiles; once."""
    told = f'{size[1]} x {size[0]} pixels at once would take more memory than there is for them'
    described = f'tiles of {tiles.side} that overlap by {tiles.overlap}'
    print_log(f'{told}: predicted in {described}', 'current')


@contextmanager
def naming_memory(images: Sequence[Tensor]) -> Iterator[None]:
    """Say what helps where the memory does not suffice for images (3, H, W) that are predicted.

    Raises:
        UserError: it does not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not is_of_memory and "can't allocate memory" not in str(error):
            raise
        height, width = images[0].shape[1:]
        raise UserError(
            f'the memory does not suffice for {len(images)} x {width} x {height} pixels at once '
            f'({first_line(error)}). Predict fewer images at once (--batch-size 1), in half '
            'precision (--amp), or smaller ones (without --full-size; scale of Resize in the '
            "config's test pipeline)"
        ) from error
