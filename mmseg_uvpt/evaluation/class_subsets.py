"""The class sets over which adaptation to Cityscapes is scored."""

from collections.abc import Sequence

from mmseg_uvpt.datasets.label_encodings import CLASSES

NOT_IN_16 = ('terrain', 'truck', 'train')
"""SYNTHIA labels none of these, so its results are means over the other 16 classes."""

NOT_IN_13 = (*NOT_IN_16, 'wall', 'fence', 'pole')
"""The 13-class mean also leaves out three thin or rare classes of SYNTHIA."""


def class_subsets(classes: Sequence[str]) -> dict[int, list[int]]:
    """Map the size of each class set to the ids in it.

    Args:
        classes: class names in the order of their ids.

    Returns:
        dict: the sets of 19, 16 and 13 if these are the classes of Cityscapes, else all classes.
    """
    if sorted(classes) != sorted(CLASSES):
        return {len(classes): list(range(len(classes)))}
    return {
        len(CLASSES) - len(left_out): [i for i, name in enumerate(classes) if name not in left_out]
        for left_out in ((), NOT_IN_16, NOT_IN_13)
    }
