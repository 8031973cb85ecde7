"""Transforms of the adaptation's training pipeline."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS


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

    def __init__(self, crop_size: tuple[int, int], cat_max_ratio: float = 1.0) -> None:
        super().__init__(crop_size, cat_max_ratio)

    def transform(self, results: dict) -> dict:
        """Cut ``img`` and update ``img_shape``."""
        height, width = results['img'].shape[:2]
        drawn_by = {'img': results['img'], 'gt_seg_map': results.get('pseudo_label')}
        top, bottom, left, right = map(int, self.crop_bbox(drawn_by))
        box = top, min(bottom, height), left, min(right, width)
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = self.crop(results[key], box)
        results['img_shape'] = results['img'].shape[:2]
        results['crop_box'] = box
        results['frame_shape'] = height, width
        return results


@TRANSFORMS.register_module()
class KeepUnaugmented(BaseTransform):
    """Keep the image as it is now, for methods that compare it with what augmentation makes of it.

    It stands behind all that moves pixels, and before photometric augmentation. `PackSegInputs`
    hands on what its ``meta_keys`` name.

    Added keys:
        unaugmented (Tensor): uint8 (3, height, width), in the channels' order of ``img``.
    """

    def transform(self, results: dict) -> dict:
        """Copy ``img``."""
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        results['unaugmented'] = torch.from_numpy(image)
        return results
