"""Transforms of the training pipelines.

Four of them take the places of mmseg's in the registry: they draw the same random numbers and give
the same results, in less time.
"""

import cv2
import mmseg.datasets.transforms as mmseg_transforms
import numpy as np
import torch
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

_VALUES = np.arange(256, dtype=np.uint8)
_FLIPS = {'horizontal': 1, 'vertical': 0, 'diagonal': -1}  # OpenCV's names of them


@TRANSFORMS.register_module(force=True)
class RandomCrop(mmseg_transforms.RandomCrop):
    """mmseg's `RandomCrop`, whose classes are counted by a histogram instead of by sorting.

    The arguments are mmseg's.

    Attributes:
        label: key of the label whose classes are counted.
    """

    label = 'gt_seg_map'

    def __init__(
        self,
        crop_size: int | tuple[int, int],
        cat_max_ratio: float = 1.0,
        ignore_index: int = 255,
    ) -> None:
        super().__init__(crop_size, cat_max_ratio, ignore_index)
        self._anywhere = mmseg_transforms.RandomCrop(crop_size)

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """Draw a box until no class covers too much of it, at most eleven times.

        Args:
            results: with ``img``, and a label (uint8) where ``cat_max_ratio`` is below 1.

        Returns:
            tuple: top, bottom, left, right; ends are excluded and may lie outside of the image.
        """
        box = self._anywhere.crop_bbox(results)
        for _ in range(10 if self.cat_max_ratio < 1 else 0):
            label = self.crop(results[self.label], box)
            counts = cv2.calcHist([label], [0], None, [256], [0, 256])  # exact below 2**24 pixels
            counts[self.ignore_index] = 0
            several = np.count_nonzero(counts) > 1
            if several and counts.max() / counts.sum(dtype=float) < self.cat_max_ratio:
                break
            box = self._anywhere.crop_bbox(results)
        return box


@TRANSFORMS.register_module(force=True)
class RandomFlip(mmseg_transforms.RandomFlip):
    """mmseg's `RandomFlip`, by OpenCV.

    numpy flips by a view, which each later transform copies pixel by pixel, many times as slowly.
    """

    def _flip(self, results: dict) -> None:
        image = results['img']
        super()._flip(results)
        flipped = cv2.flip(image, _FLIPS[results['flip_direction']])
        results['img'] = flipped.reshape(image.shape)  # of (H, W, 1) it makes (H, W)


@TRANSFORMS.register_module(force=True)
class PackSegInputs(mmseg_transforms.PackSegInputs):
    """mmseg's `PackSegInputs`, which puts channels first by splitting them."""

    def transform(self, results: dict) -> dict:
        """Return ``inputs``, a tensor (channels, H, W) of the image's type, and ``data_samples``.

        Args:
            results: with ``img``, (H, W) or (H, W, channels); without it there are no ``inputs``.
        """
        others = {key: value for key, value in results.items() if key != 'img'}
        packed = super().transform(others)
        if 'img' in results:
            packed['inputs'] = torch.from_numpy(np.stack(cv2.split(results['img'])))
        return packed


@TRANSFORMS.register_module(force=True)
class PhotoMetricDistortion(mmseg_transforms.PhotoMetricDistortion):
    """mmseg's `PhotoMetricDistortion` of uint8 images, by a table of the 256 values a step."""

    def convert(self, img: np.ndarray, alpha: float = 1, beta: float = 0) -> np.ndarray:
        """Return ``alpha * img + beta``, cut to 0..255, as mmseg rounds it: uint8."""
        return cv2.LUT(img, super().convert(_VALUES, alpha, beta))

    def hue(self, img: np.ndarray) -> np.ndarray:
        """Turn the hue of an image (H, W, 3), B, G, R, every second time, unless by 0."""
        if self.hue_delta and np.random.randint(2):  # noqa: NPY002 - mmseg draws from this one
            shift = np.random.randint(-self.hue_delta, self.hue_delta)  # noqa: NPY002
            table = ((np.arange(256) + shift) % 180).astype(np.uint8)
            img = cv2.cvtColor(img, cv2.COLOR_BGR2HSV)
            img[..., 0] = cv2.LUT(img[..., 0], table)
            img = cv2.cvtColor(img, cv2.COLOR_HSV2BGR)
        return img


@TRANSFORMS.register_module()
class CropWithBox(RandomCrop):
    """Random crop that remembers where it was cut, for labels that are kept elsewhere.

    The label bank holds labels of whole frames; the label of a crop is read at ``crop_box``, and a
    prediction is written back to it. Fields in ``seg_fields``, if there are any, are cut alike.

    A frame smaller than the crop gives a smaller box, never one that reaches past the frame: image
    and label then have the box's size. mmseg's data preprocessor pads both at the right and the
    bottom, after the flip, so they stay aligned; the prediction of such a crop has padding there,
    and its first ``bottom - top`` rows and ``right - left`` columns are the box.

    Args:
        crop_size: (height, width) in pixels.
        cat_max_ratio: a crop of whose labelled pixels one class has this share, or more, is drawn
            again, up to ten times; 1 draws once. The label is that of `LoadPseudoLabel`.

    Added keys:
        crop_box (tuple[int, int, int, int]): (top, bottom, left, right) in the frame as it came
            in, ends excluded, before any flip.
        frame_shape (tuple[int, int]): (height, width) of that frame.
    """

    label = 'pseudo_label'

    def __init__(self, crop_size: tuple[int, int], cat_max_ratio: float = 1.0) -> None:
        super().__init__(crop_size, cat_max_ratio)

    def transform(self, results: dict) -> dict:
        """Cut ``img`` and update ``img_shape``."""
        height, width = results['img'].shape[:2]
        top, bottom, left, right = map(int, self.crop_bbox(results))
        box = top, min(bottom, height), left, min(right, width)
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = self.crop(results[key], box)
        results['img_shape'] = results['img'].shape[:2]
        results['crop_box'] = box
        results['frame_shape'] = height, width
        return results
