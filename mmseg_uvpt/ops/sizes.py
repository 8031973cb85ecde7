"""Sizes of maps, as Python integers: nothing here waits for a device."""

from collections.abc import Sequence

Size = tuple[int, int]  # height, width


def pixels(sizes: Sequence[Size]) -> int:
    """Return how many pixels some maps have together."""
    return sum(h * w for h, w in sizes)


def flat(sizes: Sequence[Size]) -> list[int]:
    """Return heights and widths in turn, as the compiled operators take them."""
    return [side for size in sizes for side in size]
