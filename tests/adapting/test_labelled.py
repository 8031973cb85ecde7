"""Photographs with label maps, in the layouts that people have."""

import pytest
from nasty_folder import scene
from PIL import Image

from mmseg_uvpt.adapting.labelled import find_labelled
from mmseg_uvpt.errors import UserError


@pytest.mark.parametrize(
    ('image', 'label', 'folders'),
    [
        ('a/IMG_1.jpg', 'a/IMG_1_labelTrainIds.png', ('.', '.')),
        ('images/a/IMG_1.jpg', 'labels/a/IMG_1.png', ('images', 'labels')),
        (
            'leftImg8bit/val/ulm/x_leftImg8bit.png',
            'gtFine/val/ulm/x_gtFine_labelTrainIds.png',
            ('leftImg8bit/val', 'gtFine/val'),
        ),
    ],
)
def test_three_layouts(tmp_path, image, label, folders):
    other = image.replace('IMG_1', 'IMG_2').replace('/x_', '/y_')
    for name in (image, label, other):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(0)[..., 0] if name == label else scene(0)).save(tmp_path / name)
    found = find_labelled(tmp_path)
    assert (found.images, found.labels) == folders
    assert [f'{found.images}/{name}'.removeprefix('./') for name in found.names] == [image]
    assert found.without == 1
    suffix = next(s for s in found.image_suffixes if image.endswith(s))
    below = image.removeprefix(f'{found.images}/').removesuffix(suffix) + found.label_suffix
    assert f'{found.labels}/{below}'.removeprefix('./') == label


def test_a_folder_without_label_maps_is_refused(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / 'a.png')
    with pytest.raises(UserError, match=r'no photograph with a label map: name one of .* images/'):
        find_labelled(tmp_path)
    with pytest.raises(UserError, match='is no folder'):
        find_labelled(tmp_path / 'none')
