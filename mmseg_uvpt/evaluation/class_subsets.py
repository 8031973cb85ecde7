"""The class sets over which adaptation to Cityscapes is scored."""

from collections.abc import Sequence

NOT_IN_16 = ('terrain', 'truck', 'train')
"""SYNTHIA labels none of these, so its results are means over the other 16 classes."""

NOT_IN_13 = (*NOT_IN_16, 'wall', 'fence', 'pole')
"""The 13-class mean also leaves out three thin or rare classes of SYNTHIA."""


def class_subsets(classes: Sequence[str]) -> dict[int, list[int]]:
    """Map the size of each class set (19, 16, 13) to the train ids in it.

    Args:
        classes: the 19 Cityscapes class names in train id order.

    Raises:
        ValueError: not 19 classes, or one that a set leaves out is not among them.
    """
    unknown = [name for name in NOT_IN_13 if name not in classes]
    if len(classes) != 19 or unknown:
        raise ValueError(
            f'the 19/16/13-class means need the 19 Cityscapes classes, got {list(classes)}'
        )
    return {
        19 - len(left_out): [i for i, name in enumerate(classes) if name not in left_out]
        for left_out in ((), NOT_IN_16, NOT_IN_13)
    }
