"""Where a pipeline may move pixels."""

from types import SimpleNamespace

import mmseg.datasets  # noqa: F401
import pytest
from mmseg.registry import TRANSFORMS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.datasets.moved_pixels import check_kept_image, check_label_place
from mmseg_uvpt.datasets.seeded_batches import pipelines, plain_data_sets
from mmseg_uvpt.errors import UserError

RESIZE = {'type': 'Resize', 'scale': (64, 32), 'keep_ratio': True}
CROP = {'type': 'CropWithBox', 'crop_size': (16, 16)}
FLIP = {'type': 'RandomFlip', 'prob': 0.5}
ROTATE = {'type': 'RandomRotate', 'prob': 0.5, 'degree': 10}
COLOUR, KEEP = {'type': 'PhotoMetricDistortion'}, {'type': 'KeepUnaugmented'}


def within(*transforms: dict) -> dict:
    return {'type': 'RandomApply', 'transforms': list(transforms), 'prob': 0.5}


def built(*steps: dict) -> list:
    return [TRANSFORMS.build(dict(step)) for step in steps]


@pytest.mark.parametrize(
    'steps',
    [(CROP,), (RESIZE, CROP, FLIP), (RESIZE, COLOUR, CROP, COLOUR, FLIP, within(COLOUR))],
)
def test_labels_that_lie_on_their_images(steps):
    check_label_place(built(*steps))


@pytest.mark.parametrize(
    ('steps', 'told'),
    [
        ((RESIZE, FLIP, CROP), 'has RandomFlip, CropWithBox'),
        ((FLIP, RESIZE, CROP), 'has RandomFlip, CropWithBox'),
        ((RESIZE, CROP, FLIP, FLIP), 'has CropWithBox, RandomFlip, RandomFlip'),
        ((RESIZE, CROP, FLIP, ROTATE), 'has CropWithBox, RandomFlip, RandomRotate'),
        ((RESIZE, CROP, within(COLOUR, ROTATE)), 'has CropWithBox, RandomRotate'),
    ],
)
def test_labels_that_would_lie_elsewhere(steps, told):
    with pytest.raises(UserError, match=told):
        check_label_place(built(*steps))


def test_images_that_are_kept():
    check_kept_image(built(RESIZE, CROP, FLIP, KEEP, COLOUR))
    check_kept_image(built(RESIZE, CROP, FLIP, COLOUR))
    for moved in (FLIP, CROP, within(ROTATE)):
        with pytest.raises(UserError, match=r'has Random|has CropWithBox behind KeepUnaugmented'):
            check_kept_image(built(RESIZE, KEEP, COLOUR, moved))


def test_data_sets_within_wrappers():
    inner = [SimpleNamespace(pipeline=i) for i in range(3)]
    assert list(plain_data_sets(inner[0])) == inner[:1]
    joined = SimpleNamespace(datasets=[SimpleNamespace(dataset=inner[1]), inner[2]])
    assert list(plain_data_sets(joined)) == inner[1:]


def test_wrappers_transform_behind_the_data_sets_within():
    loading, keeping = (SimpleNamespace(pipeline=SimpleNamespace(transforms=x)) for x in 'lk')
    mixed = SimpleNamespace(pipeline=['flip'], dataset=SimpleNamespace(datasets=[loading, keeping]))
    assert list(pipelines(mixed)) == [['l', 'flip'], ['k', 'flip']]
    assert list(pipelines(loading)) == [['l']]
