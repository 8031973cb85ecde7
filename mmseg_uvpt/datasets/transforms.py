"""Transforms of the pipelines: loading that names the file when it cannot be used, and crops.

With mmcv's own transforms a truncated image in the middle of training ends in an assertion or, with
OpenCV 4, in a half-grey picture; a wrong label value ends in a fault on the GPU.
"""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.datasets.transforms import LoadAnnotations, RandomCrop
from mmseg.registry import TRANSFORMS

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.image_files import read_image
from mmseg_uvpt.datasets.label_encodings import read_pseudo_label, read_train_ids
from mmseg_uvpt.datasets.named_classes import MOST, not_mapped
from mmseg_uvpt.registry import TRANSFORMS as OWN_TRANSFORMS


# mmseg's `inference_model` and `MMSegInferencer` put the last two names in the first one's place
@OWN_TRANSFORMS.register_module('LoadImageFromFile')
@OWN_TRANSFORMS.register_module('LoadImageFromNDArray')
@OWN_TRANSFORMS.register_module('InferencerLoader')
@TRANSFORMS.register_module()
class LoadImageChecked(BaseTransform):
    """mmcv's `LoadImageFromFile`, with nothing to configure, of files that are whole.

    It takes images in memory too, as mmseg's ways to predict give them.
    """

    def transform(self, results: dict | str | np.ndarray) -> dict:
        """Add ``img`` (uint8, (H, W, 3), BGR), ``img_shape`` and ``ori_shape``.

        Args:
            results: with ``img_path``, or with an image as ``img``; or one of these alone.

        Raises:
            DataError: the file is missing, truncated, damaged or too large; or an array is no
                image.
        """
        if not isinstance(results, dict):
            results = {'img' if isinstance(results, np.ndarray) else 'img_path': results}
        if 'img' in results:
            image = results['img']
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise DataError(
                    'an image given as an array is uint8 (H, W, 3), B, G, R; this one is '
                    f'{image.dtype} {image.shape}'
                )
            results = {'img_path': None, **results}
        else:
            image = read_image(results['img_path'])
        size = image.shape[:2]
        return {**results, 'img': image, 'img_shape': size, 'ori_shape': size}


@TRANSFORMS.register_module()
class LoadLabelChecked(LoadAnnotations):
    """mmseg's `LoadAnnotations` for labels that hold the ids of classes, with nothing to configure.

    Ids are never mapped to others: what asks for that is refused.
    """

    def __init__(self) -> None:
        super().__init__()

    def transform(self, results: dict) -> dict:
        """Load the label; a photograph that belongs to no data set has none and passes as it is.

        ``mmseg.apis.inference_model`` drops mmseg's own transform for such images, by its name.
        """
        return super().transform(results) if 'seg_map_path' in results else results

    def _load_seg_map(self, results: dict) -> None:
        """Add ``gt_seg_map``: uint8 (H, W), ids of the data set's classes and 255.

        Raises:
            DataError: the file is missing or damaged, holds other values, or has another size
                than the image (where that was loaded before); its ids were to be mapped.
        """
        path = results['seg_map_path']
        for setting in ('label_map', 'reduce_zero_label'):
            if results.get(setting):
                raise DataError(not_mapped(f'{setting} of the data set that {path} belongs to'))
        label = read_train_ids(path, results.get('num_classes', MOST))
        cure = (
            'Put the right files there or move both away; tools/check_data.py lists all such pairs.'
        )
        _check_size(path, label, results, cure)
        results['gt_seg_map'] = label
        results['seg_fields'].append('gt_seg_map')


@TRANSFORMS.register_module()
class LoadPseudoLabel(BaseTransform):
    """Load the pseudo label of a frame as it was made, for `CropWithBox` to draw by.

    What is trained on comes from the label bank, which changes while crops are drawn ahead. So this
    field has a name of its own, under which nothing is trained on or handed on.

    Args:
        trained_on: whether it is trained on as it is, in a training without label correction.
    """

    def __init__(self, trained_on: bool = False) -> None:
        self.field = 'gt_seg_map' if trained_on else 'pseudo_label'

    def transform(self, results: dict) -> dict:
        """Add ``pseudo_label`` or ``gt_seg_map``: uint8 (H, W), one of ``seg_fields``.

        Args:
            results: with ``pseudo_label_path``; a data set adds it that has a ``pseudo_label_dir``.

        Raises:
            DataError: the data set names none; the file is missing or damaged, or has another size
                than the image; or values that are no classes, if it is trained on.
        """
        if 'pseudo_label_path' not in results:
            raise DataError(
                f'{results["img_path"]}: the data set names no pseudo label. train.py gives '
                'train_dataloader.dataset the pseudo_label_dir of the label correction, which '
                'CheckedCityscapesDataset takes and what is made of it'
            )
        path = results['pseudo_label_path']
        cure = 'Make it again with generate_pseudo_label.py, then go on with --resume.'
        if self.field == 'gt_seg_map':
            label = read_train_ids(path, results.get('num_classes', MOST))
        else:
            label = read_pseudo_label(path, cure)
        _check_size(path, label, results, cure)
        return {**results, self.field: label, 'seg_fields': [*results['seg_fields'], self.field]}


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
        """Cut ``img`` and update ``img_shape``.

        Raises:
            DataError: crops are drawn by a label, and none was loaded.
        """
        height, width = results['img'].shape[:2]
        label = results.get('pseudo_label', results.get('gt_seg_map'))
        if label is None and self.cat_max_ratio < 1:
            raise DataError(
                f'{results.get("img_path")} has no label to draw a crop by: put LoadPseudoLabel '
                'behind LoadImageChecked, or let CropWithBox have cat_max_ratio=1.0'
            )
        drawn_by = {'img': results['img'], 'gt_seg_map': label}
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


def _check_size(path: str, label: np.ndarray, results: dict, cure: str) -> None:
    """Raise a `DataError` where a label has another size than its image, if that was loaded."""
    size = results.get('ori_shape', label.shape)
    if label.shape != size:
        raise DataError(
            f'{path} is {label.shape[1]} x {label.shape[0]}, its image {results["img_path"]} '
            f'{size[1]} x {size[0]}. {cure}'
        )
