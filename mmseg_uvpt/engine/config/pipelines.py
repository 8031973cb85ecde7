"""Pipelines of transforms, of which some are left out."""

from collections.abc import Callable

from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from mmseg_uvpt.registry import is_a

RESIZES = ('Resize', 'ResizeShortestEdge', 'ResizeToMultiple')


def without_labels(steps: list) -> list:
    """Return a pipeline without what loads labels."""
    return _without(lambda step: is_a(TRANSFORMS, step, LoadAnnotations), steps)


def without_resizing(steps: list) -> list:
    """Return a pipeline without what resizes images."""
    return _without(lambda step: step['type'] in RESIZES, steps)


def _without(is_left_out: Callable[[dict], bool], steps: list) -> list:
    """Return transforms, or lists of alternatives within them, without some."""
    found = []
    for step in steps:
        if isinstance(step, list | tuple):
            if not (step := _without(is_left_out, step)):  # of none there would be no view
                continue
        elif is_left_out(step):
            continue
        elif 'transforms' in step:
            step = {**step, 'transforms': _without(is_left_out, step['transforms'])}
        found.append(step)
    return found
