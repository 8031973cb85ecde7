"""Images that are too large for the memory, predicted in overlapping tiles."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.files import size_text

# What a network needs for a pixel, measured (docs/performance.md): Swin-B 1.6 kB, MiT-B5 1.5 kB.
BYTES_PER_PIXEL = 2048
# Tiles begin where patches (of 4, 14, 16 or 32 pixels) and windows (of 7 patches of 32) of the
# whole image begin, so that the network sees them divided alike.
GRID = 224
_CGROUPS = (  # limit and use of a container, in version 2 and 1
    ('memory.max', 'memory.current'),
    ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes'),
)
OVERLAP = 2 * GRID  # of neighbours; each is used up to the middle
LARGEST = 10 * GRID  # side of a tile; images of fewer pixels are whole on any machine


def tile_side(
    size: Sequence[int], free: Callable[[], int], classes: int, images: int = 1
) -> int | None:
    """Return the side of the tiles that an image is to be predicted in.

    Args:
        size: height and width that the network is to see.
        free: returns the free bytes, of which half are taken; asked for large images only.
        classes: whose logits, float32, are kept for the whole image.
        images: of one size that are to be predicted at once.

    Returns:
        int: a multiple of `GRID`; None where the whole image fits, or has five megapixels at most,
        so that usual photographs are predicted alike everywhere.

    Raises:
        UserError: not even the logits fit.
    """
    pixels = size[0] * size[1]
    if pixels <= LARGEST**2:
        return None
    memory = free() // 2
    if images * pixels * BYTES_PER_PIXEL <= memory:
        return None
    logits = 4 * classes * images * pixels
    if (left := memory - logits) <= 0:
        raise UserError(
            f'{size[1]} x {size[0]} pixels of {classes} classes take {size_text(logits)}, more '
            f'than half of the free memory, {size_text(memory)}: have the network see a smaller '
            "image (scale of Resize in the config's test pipeline, without --full-size)"
        )
    fitting = int((left / images / BYTES_PER_PIXEL) ** 0.5) // GRID * GRID
    return min(LARGEST, max(fitting, 2 * OVERLAP))


def in_tiles(network: Callable[[Tensor], Tensor], x: Tensor, side: int) -> Tensor:
    """Return the logits (B, C, H, W), in main memory, of images (B, 3, H, W) in tiles.

    Each pixel has those of the tile in which it lies farthest from an edge that the image has not.

    Args:
        network: gives the logits of images at their size.
        x: the images.
        side: of the tiles, a multiple of `GRID` above `OVERLAP`; those at the right and the bottom
            are cut.
    """
    height, width = x.shape[2:]
    logits = None
    for (top, bottom, first, last), (left, right, begin, end) in product(
        _spans(height, side), list(_spans(width, side))
    ):
        found = network(x[..., top:bottom, left:right])
        if logits is None:
            logits = torch.empty(*found.shape[:2], height, width)
        part = found[..., first - top : last - top, begin - left : end - left]
        logits[..., first:last, begin:end] = part.cpu()
    return logits


def _spans(length: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield begin and end of each tile, and of what is used of it."""
    begins = list(range(0, max(length - OVERLAP, 1), side - OVERLAP))
    cuts = [0, *(begin + OVERLAP // 2 for begin in begins[1:]), length]
    for begin, (first, last) in zip(begins, pairwise(cuts), strict=True):
        yield begin, min(begin + side, length), first, last


@cache
def say_tiles(size: tuple[int, int], side: int) -> None:
    """Log that images of a size, height and width, are predicted in tiles; once."""
    told = f'{size[1]} x {size[0]} pixels at once would take more than half of the free memory'
    print_log(f'{told}: predicted in tiles of {side} that overlap by {OVERLAP}', 'current')


@contextmanager
def naming_memory(images: Sequence[Tensor]) -> Iterator[None]:
    """Say what helps where the memory does not suffice for images (3, H, W) that are predicted.

    Raises:
        UserError: it does not.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if type(error) is RuntimeError and "can't allocate memory" not in str(error):
            raise
        height, width = images[0].shape[1:]
        raise UserError(
            f'the memory does not suffice for {len(images)} x {width} x {height} pixels at once '
            f'({first_line(error)}). Predict fewer images at once (--batch-size 1), in half '
            "precision (--amp), or smaller ones (scale of Resize in the config's test pipeline)"
        ) from error


def free_memory(device: torch.device) -> int:
    """Return how many bytes a device, or the container that this process runs in, has free."""
    if device.type == 'cuda':
        free = torch.cuda.mem_get_info(device)[0]
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    lines = Path('/proc/meminfo').read_text().splitlines()
    free = next(1024 * int(line.split()[1]) for line in lines if line.startswith('MemAvailable'))
    for limit, used in _CGROUPS:
        try:
            numbers = [int(Path('/sys/fs/cgroup', name).read_text()) for name in (limit, used)]
        except (OSError, ValueError):  # another version of cgroups, or no limit
            continue
        free = min(free, max(numbers[0] - numbers[1], 0))
    return free
