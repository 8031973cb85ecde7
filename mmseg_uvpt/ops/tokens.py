"""Maps as tokens, a row a pixel, tokens as maps, and the sizes of maps.

Sizes are Python integers: nothing here waits for a device.
"""

from collections.abc import Sequence

from torch import Tensor

from mmseg_uvpt.ops import backends

Size = tuple[int, int]  # height, width
_BLOCK = 1024  # rows


def pixels(sizes: Sequence[Size]) -> int:
    """Return how many pixels some maps have together."""
    return sum(h * w for h, w in sizes)


def flat(sizes: Sequence[Size]) -> list[int]:
    """Return heights and widths in turn, as the compiled operators take them."""
    return [side for size in sizes for side in size]


def as_tokens(feature_map: Tensor) -> Tensor:
    """Turn a map (B, C, height, width) into tokens (B, height * width, C)."""
    return feature_map.flatten(2).transpose(1, 2)


def as_map(tokens: Tensor, size: Size) -> Tensor:
    """Turn tokens (B, height * width, C) into a map (B, C, height, width), channels first.

    With channels last, as the tokens lie, convolutions and products would round otherwise.
    """
    return transposed(tokens).unflatten(2, size)


def map_view(tokens: Tensor, size: Size) -> Tensor:
    """Turn tokens into a map without a copy: channels last, as torch resizes maps fastest."""
    # with another order of these two, torch would not know a batch of 1 for channels last
    return tokens.unflatten(1, size).permute(0, 3, 1, 2)


def transposed(x: Tensor) -> Tensor:
    """Return (B, N, M), contiguous, of (B, M, N).

    Inference on a CPU copies blocks that stay in the cache, image by image: torch does so for
    matrices alone, and takes two to four times as long for a large one at once.
    """
    if not backends.is_inference_on_cpu(x):
        return x.transpose(1, 2).contiguous()
    y = x.new_empty(x.shape[0], x.shape[2], x.shape[1])
    for matrix, result in zip(x, y, strict=True):
        for rows, columns in zip(matrix.split(_BLOCK), result.split(_BLOCK, dim=1), strict=True):
            columns.copy_(rows.t())
    return y
