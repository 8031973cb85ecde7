"""Between batches of the runner, which may be flipped and padded, and frames of the bank.

Rank 0 has the label bank, decides and corrects. It gathers the samples of all processes in the
order in which one process would have had them in one batch, and scatters their labels. So several
processes do what one does, on one machine or on many, and only rank 0's machine needs the bank.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from mmengine.dist import get_world_size, is_main_process
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_uvpt.correction.label_bank import Box
from mmseg_uvpt.errors import UserError

T = TypeVar('T')


@dataclass(frozen=True)
class Crop:
    """Which part of which frame a sample shows.

    Attributes:
        index: number of the frame in the data set.
        frame_size: (height, width) of the frame after resizing.
        box: the crop within the resized frame.
        flipped: whether the image is mirrored left to right.
    """

    index: int
    frame_size: tuple[int, int]
    box: Box
    flipped: bool

    def set_label(self, sample: SegDataSample, label: np.ndarray) -> None:
        """Give a sample its training label.

        Args:
            sample: receives ``gt_sem_seg``, (1, H, W) int64, flipped with the image.
            label: (H, W) uint8, not flipped.
        """
        data = torch.from_numpy(self._turn(label).astype(np.int64))
        sample.gt_sem_seg = PixelData(data=data[None])

    def set_average(self, sample: SegDataSample, average: np.ndarray) -> None:
        """Give a sample what was predicted of it before.

        Args:
            sample: receives ``moving_average``, (C, h, w) float32, flipped with the image.
            average: (C, h, w) float16, not flipped.
        """
        data = torch.from_numpy(self._turn(average).astype(np.float32))
        sample.moving_average = PixelData(data=data)

    def from_network(self, array: np.ndarray, stride: int = 1) -> np.ndarray:
        """Cut a map to the crop and turn it back if the image is flipped.

        Args:
            array: (..., h, w) as the network saw it, padded below and on the right or not at all.
            stride: side of the cells, in pixels, that the map has a value of.

        Returns:
            (..., H, W) in the frame as it is, contiguous.

        Raises:
            ValueError: the map is smaller than the crop.
        """
        height, width = (-(-side // stride) for side in self.box.size)
        if array.shape[-2] < height or array.shape[-1] < width:
            raise ValueError(
                f'a prediction of {array.shape} cannot cover a crop of {self.box.size}'
            )
        return np.ascontiguousarray(self._turn(array[..., :height, :width]))

    def _turn(self, array: np.ndarray) -> np.ndarray:
        return array[..., ::-1] if self.flipped else array


def read_crops(data_batch: dict[str, Sequence]) -> list[Crop]:
    """Read where the images of a batch come from; see `read_crop`."""
    samples = zip(data_batch['data_samples'], data_batch['inputs'], strict=True)
    return [read_crop(sample, image) for sample, image in samples]


def read_crop(sample: SegDataSample, image: torch.Tensor) -> Crop:
    """Read where the image of a sample comes from.

    Args:
        sample: metainfo ``sample_idx``, ``crop_box`` (top, bottom, left, right),
            ``frame_shape`` (height, width), and ``flip`` with ``flip_direction`` if flipped.
        image: (C, H, W) of the same sample.

    Raises:
        UserError: the training pipeline does not record this, or flips other than horizontally.
    """
    meta = sample.metainfo
    missing = [key for key in ('sample_idx', 'crop_box', 'frame_shape', 'flip') if key not in meta]
    if missing:
        raise UserError(
            f'the training pipeline does not hand on {", ".join(missing)}: it needs CropWithBox, '
            "RandomFlip, and PackSegInputs with 'crop_box', 'frame_shape', 'sample_idx' and "
            "'flip' among its meta_keys"
        )
    flipped = bool(meta['flip'])
    direction = meta.get('flip_direction')
    if flipped and direction != 'horizontal':
        raise UserError(
            f'label correction knows horizontal flips only, not {direction!r}: use '
            "dict(type='RandomFlip', prob=0.5, direction='horizontal')"
        )
    box = Box(*(int(v) for v in meta['crop_box']))
    if box.size != tuple(image.shape[-2:]):
        raise UserError(
            f'{meta.get("img_path", "an image")}: the crop box {tuple(box)} is {box.size}, its '
            f'image {tuple(image.shape[-2:])}: nothing after CropWithBox may change the size'
        )
    height, width = meta['frame_shape'][:2]
    return Crop(int(meta['sample_idx']), (int(height), int(width)), box, flipped)


def gather(own: Sequence[T]) -> list[Sequence[T]] | None:
    """Return what each process has of its samples, on rank 0; None on the others."""
    if get_world_size() == 1:
        return [own]
    dealt = [None] * get_world_size() if is_main_process() else None
    dist.gather_object(own, dealt, group=_group())
    return dealt


def scatter(dealt: list[Sequence[T]] | None) -> Sequence[T]:
    """Return rank 0's entry for this process; the others pass None."""
    if get_world_size() == 1:
        return dealt[0]
    own = [None]
    dist.scatter_object_list(own, dealt, group=_group())
    return own[0]


def joint_batch(dealt: list[Sequence[T]]) -> list[T]:
    """Return the samples of all processes in the order of one batch.

    The samplers deal an endless sequence out in turn: the first samples of all processes come
    before the second ones.
    """
    return list(itertools.chain(*zip(*dealt, strict=True)))


@functools.cache
def _group() -> dist.ProcessGroup:
    """The group to talk in. What is told lies in main memory, so GPUs are left out of it."""
    return dist.new_group(backend='gloo')
