"""A few of many, chosen evenly."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar('T')


def evenly_spaced(values: Sequence[T], most: int) -> list[T]:
    """Return at most ``most`` of the values in their order, evenly spaced, first and last included.

    Args:
        values: in their order. Of what takes long to be looked up, give ``range(len(values))``.
        most: 1 or more; of 1 it is the first value.
    """
    numbers = np.linspace(0, len(values) - 1, min(most, len(values))).astype(int)
    return [values[i] for i in numbers.tolist()]
