"""Photographs with label maps, in the layouts that people have."""

from pathlib import Path

import numpy as np
import pytest
from nasty_folder import scene
from PIL import Image

from mmseg_uvpt.adapting.labelled import find_labelled, truth_of
from mmseg_uvpt.datasets.label_encodings import CLASSES
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


def test_label_maps_of_the_photographs_themselves(tmp_path):
    """All of them, in Cityscapes' layout; else nothing is known of how right pseudo labels are."""
    for split in ('train', 'val'):
        for i in range(2):
            image = tmp_path / f'leftImg8bit/{split}/x_{i}_leftImg8bit.png'
            label = tmp_path / f'gtFine/{split}/x_{i}_gtFine_labelTrainIds.png'
            for path in (image, label):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(scene(i)[..., 0]).save(path)
    found, images = find_labelled(tmp_path), tmp_path / 'leftImg8bit/train'
    assert found.images == 'leftImg8bit/val'
    names = [f'x_{i}_leftImg8bit.png' for i in range(2)]
    assert truth_of(names, images, found) == tmp_path / 'gtFine/train'
    assert truth_of(names, tmp_path / 'elsewhere', found) is None
    (tmp_path / 'gtFine/train/x_1_gtFine_labelTrainIds.png').unlink()
    assert truth_of(names, images, found) is None
    assert truth_of(names[:1], images, found) == tmp_path / 'gtFine/train'


def test_the_folder_may_be_this_one(tmp_path, monkeypatch):
    Image.fromarray(scene(0)).save(tmp_path / 'a.png')
    Image.fromarray(scene(1)[..., 0]).save(tmp_path / 'a_labelTrainIds.png')
    monkeypatch.chdir(tmp_path)
    found = find_labelled(Path('.'))
    assert found.files() == {tmp_path / 'a.png', tmp_path / 'a_labelTrainIds.png'}


def test_a_folder_without_label_maps_is_refused(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / 'a.png')
    with pytest.raises(UserError, match=r'no photograph with a label map: name one of .* images/'):
        find_labelled(tmp_path)
    with pytest.raises(UserError, match='is no folder'):
        find_labelled(tmp_path / 'none')


@pytest.mark.parametrize(
    ('label', 'says'),
    [
        (np.full((10, 10), 3, np.uint8), r'a_labelTrainIds\.png has 10 x 10 .* 96 x 64'),
        (
            np.full((64, 96), 77, np.uint8),
            r'a_labelTrainIds\.png: label values \[77\] .*: mend it, or take',
        ),
        (np.full((64, 96), 255, np.uint8), 'its label maps have no class .other'),
    ],
)
def test_label_maps_are_read_before_anything_is_done(tmp_path, label, says):
    tmp_path = tmp_path / 'Dr. Alice'
    tmp_path.mkdir()
    Image.fromarray(scene(0)).save(tmp_path / 'a.jpg')
    Image.fromarray(label).save(tmp_path / 'a_labelTrainIds.png')
    with pytest.raises(UserError, match=says):
        find_labelled(tmp_path).check(CLASSES)


def test_photographs_to_score_with_are_read(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / 'a.png')
    whole = (tmp_path / 'a.png').read_bytes()
    (tmp_path / 'a.png').write_bytes(whole[: len(whole) // 2])
    Image.fromarray(scene(1)[..., 0] // 20).save(tmp_path / 'a_labelTrainIds.png')
    with pytest.raises(UserError, match=r'--labelled: .*a\.png'):
        find_labelled(tmp_path).check(CLASSES)


@pytest.mark.parametrize('name', ['caf\udce9', ' a', 'b\n'])
def test_names_that_no_list_can_hold_are_refused(tmp_path, name):
    Image.fromarray(scene(0)).save(tmp_path / f'{name}.png')
    Image.fromarray(scene(1)[..., 0] // 20).save(tmp_path / f'{name}_labelTrainIds.png')
    with pytest.raises(UserError, match='a name that no list can hold: rename it'):
        find_labelled(tmp_path)


@pytest.mark.parametrize(('ids', 'says'), [((0, 255), 'have no class but road'), ((0, 0), 'road')])
def test_label_maps_of_one_class_say_nothing(tmp_path, ids, says):
    """Binary masks: 255 does not count, so who says background everywhere would be right."""
    for i in range(2):
        Image.fromarray(scene(i)).save(tmp_path / f'{i}.jpg')
        mask = np.repeat(np.array(ids, np.uint8), 48)[None].repeat(64, 0)
        Image.fromarray(mask).save(tmp_path / f'{i}_labelTrainIds.png')
    with pytest.raises(UserError, match=says):
        find_labelled(tmp_path).check(CLASSES)
    Image.fromarray(np.full((64, 96), 2, np.uint8)).save(tmp_path / '1_labelTrainIds.png')
    assert find_labelled(tmp_path).check(CLASSES) == [CLASSES[1], *CLASSES[3:]]


def test_a_photograph_in_several_formats_counts_once(tmp_path):
    for name in ('0.jpg', '0.png', '0.webp', '1.jpg'):
        Image.fromarray(scene(0)).save(tmp_path / name)
    for i in range(2):
        Image.fromarray(scene(i)[..., 0] // 20).save(tmp_path / f'{i}_labelTrainIds.png')
    found = find_labelled(tmp_path)
    assert (found.names, found.without) == (['0.jpg', '1.jpg'], 2)
