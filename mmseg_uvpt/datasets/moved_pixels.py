"""Where a pipeline may move pixels, so that images kept or labels read elsewhere lie on them."""

from collections.abc import Iterable, Iterator

from mmcv.transforms import (
    BaseTransform,
    CenterCrop,
    Pad,
    RandomChoiceResize,
    RandomFlip,
    RandomResize,
    Resize,
)
from mmseg.datasets.transforms import (
    RandomCrop,
    RandomMosaic,
    RandomRotate,
    RandomRotFlip,
    ResizeShortestEdge,
    ResizeToMultiple,
)

from mmseg_uvpt.datasets.transforms import KeepUnaugmented
from mmseg_uvpt.errors import UserError

_MOVES = (
    *(CenterCrop, Pad, RandomChoiceResize, RandomFlip, RandomResize, Resize, RandomCrop),
    *(RandomMosaic, RandomRotate, RandomRotFlip, ResizeShortestEdge, ResizeToMultiple),
)


def check_label_place(pipeline: Iterable[BaseTransform]) -> None:
    """Make sure that the label at `CropWithBox`'s box, flipped as the sample says, is the image's.

    Raises:
        UserError: anything but a ``Resize`` moves pixels before the crop, or anything but one
            ``RandomFlip`` behind it.
    """
    transforms = _leaves(pipeline)
    moving = [t for t in transforms if isinstance(t, _MOVES) and not isinstance(t, Resize)]
    expected = (RandomCrop, RandomFlip)
    if len(moving) > 2 or not all(map(isinstance, moving, expected)):
        raise UserError(
            'label correction reads the label of a crop at the place that CropWithBox cut, in '
            'images that are resized alike: Resize, CropWithBox and one RandomFlip, in this order, '
            f'and the pipeline has {", ".join(type(t).__name__ for t in moving)}'
        )


def check_kept_image(pipeline: Iterable[BaseTransform]) -> None:
    """Make sure that nothing moves pixels behind `KeepUnaugmented`.

    Raises:
        UserError: something does.
    """
    is_kept = False
    for transform in _leaves(pipeline):
        is_kept |= isinstance(transform, KeepUnaugmented)
        if is_kept and isinstance(transform, _MOVES):
            raise UserError(
                f'the training pipeline has {type(transform).__name__} behind KeepUnaugmented, '
                'whose image would lie elsewhere: put KeepUnaugmented behind all that moves pixels'
            )


def _leaves(transforms: Iterable) -> Iterator[BaseTransform]:
    """Yield transforms, those within others (`RandomApply`, `ImageCache`) in their place."""
    for transform in transforms:
        within = getattr(transform, 'transforms', None)
        if isinstance(transform, list | tuple):
            yield from _leaves(transform)
        elif within is not None:
            yield from _leaves(within if isinstance(within, list | tuple) else [within])
        else:
            yield transform
