"""Where each frame lies in the files of the label bank, and how large they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Size = tuple[int, int]  # height, width

LABELS = 'labels.u8'
PREDICTIONS = 'predictions.u8'
CONFIDENCES = 'confidences.f16'
INDEX = 'index.i64'
INDEX_COLUMNS = 5  # top, bottom, left, right, iteration

DTYPES = {LABELS: 'u1', PREDICTIONS: 'u1', CONFIDENCES: '<f2', INDEX: '<i8'}


@dataclass(frozen=True)
class BankLayout:
    """Flat files in which frame i starts at element ``offsets[i]``: sizes may differ.

    Labels have a slot of the whole frame, predictions and confidences one of the largest crop
    that fits into it. Cityscapes, 2975 frames of 512 x 1024 with crops of 512 x 512::

        labels       2975 * 512 * 1024 * 1 byte  = 1,559,756,800
        predictions  2975 * 512 *  512 * 1 byte  =   779,878,400
        confidences  2975 * 512 *  512 * 2 bytes = 1,559,756,800
        index        2975 *          5 * 8 bytes =       119,000
                                                   3,899,511,000 bytes = 3.9 GB

    Args:
        frame_sizes: (height, width) of each frame, after the resizing of the training pipeline.
        crop_size: (height, width) of the crops of the training pipeline.
    """

    frame_sizes: Sequence[Size]
    crop_size: Size
    label_offsets: np.ndarray = field(init=False, repr=False)
    kept_offsets: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        frames = np.array(self.frame_sizes, np.int64).reshape(-1, 2)
        slots = np.minimum(frames, self.crop_size)
        for name, sizes in (('label_offsets', frames), ('kept_offsets', slots)):
            offsets = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))])
            object.__setattr__(self, name, offsets)

    @property
    def file_bytes(self) -> dict[str, int]:
        """Size of each file in bytes, by file name."""
        elements = {
            LABELS: self.label_offsets[-1],
            PREDICTIONS: self.kept_offsets[-1],
            CONFIDENCES: self.kept_offsets[-1],
            INDEX: len(self.frame_sizes) * INDEX_COLUMNS,
        }
        return {name: int(n) * np.dtype(DTYPES[name]).itemsize for name, n in elements.items()}
