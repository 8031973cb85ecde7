"""Pipelines of transforms, of which some are left out."""

from collections.abc import Callable

from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

RESIZES = ('Resize', 'ResizeShortestEdge', 'ResizeToMultiple')


def without_labels(steps: list) -> list:
    """Return a pipeline without what loads labels."""
    return _without(_loads_labels, steps)


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


def _loads_labels(step: dict) -> bool:
    kind = step['type']
    kind = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, LoadAnnotations)
