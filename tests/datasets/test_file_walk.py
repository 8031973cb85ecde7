"""Every tool sees the same files."""

import os

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from raw_labels import write_grey, write_rgb

from mmseg_uvpt.augmentation import style_images
from mmseg_uvpt.correction.pseudo_label_files import list_frames
from mmseg_uvpt.datasets import checked_files
from mmseg_uvpt.datasets.conversion.convert import convert_data_set
from mmseg_uvpt.datasets.conversion.inspection import inspect
from mmseg_uvpt.datasets.files import file_walk
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.image_files import images_below
from mmseg_uvpt.datasets.layouts import CITYSCAPES
from mmseg_uvpt.errors import UserError

IMAGE = '{}_leftImg8bit.png'


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rgb(path, np.zeros((4, 6, 3)))


def data_set(root, split='val', **kwargs):
    init_default_scope('mmseg')
    prefix = {'img_path': f'leftImg8bit/{split}'}
    pipeline = [{'type': 'LoadImageChecked'}]
    kind = {'type': 'CheckedCityscapesDataset', 'data_root': str(root), 'pipeline': pipeline}
    return DATASETS.build({**kind, 'data_prefix': prefix, 'test_mode': True, **kwargs})


@pytest.fixture
def linked(tmp_path):
    """A root with a city, a link to another one, a link back, and hidden copies."""
    root, disk = tmp_path / 'root', tmp_path / 'disk'
    for folder in (root / 'leftImg8bit/val/here', disk / 'images'):
        write(folder / IMAGE.format('a'))
    for folder in (root / 'gtFine/val/here', disk / 'labels'):
        folder.mkdir(parents=True)
        write_grey(folder / 'a_gtFine_labelIds.png', np.full((4, 6), 7))
    (root / 'leftImg8bit/val/linked').symlink_to(disk / 'images')
    (root / 'gtFine/val/linked').symlink_to(disk / 'labels')
    (root / 'leftImg8bit/val/here/loop').symlink_to(root / 'leftImg8bit')
    write(root / 'leftImg8bit/val/.thumbnails' / IMAGE.format('b'))
    write(root / 'leftImg8bit/val/here' / f'.{IMAGE.format("c")}')
    return root


def test_links_to_folders_are_followed_by_all(linked):
    frames = ['here/a', 'linked/a']
    folder = linked / 'leftImg8bit/val'
    assert images_below(folder) == ([folder / IMAGE.format(f) for f in frames], '')
    assert style_images.find(folder) == images_below(folder)[0]
    found = [path[len(str(folder)) + 1 :] for path in (f['img_path'] for f in data_set(linked))]
    assert found == [IMAGE.format(frame) for frame in frames]
    assert list(CITYSCAPES.image_frames(linked, 'val')[0]) == frames
    assert convert_data_set(CITYSCAPES, linked, nproc=1).written == 2
    reports = {report.split: report for report in inspect(CITYSCAPES, linked, nproc=1)}
    assert (reports['val'].images, reports['val'].pairs, reports['val'].converted) == (2, 2, 2)


def test_folder_that_may_not_be_looked_into(tmp_path, monkeypatch):
    """(The tests may run as root, who may look into everything.)"""
    (tmp_path / 'locked').mkdir()
    listdir = os.listdir

    def refuse(folder):
        if str(folder).endswith('locked'):
            raise PermissionError(13, 'Permission denied', folder)
        return listdir(folder)

    monkeypatch.setattr(file_walk.os, 'listdir', refuse)
    with pytest.raises(DataError, match=r'locked cannot be looked into \(Permission denied\)'):
        images_below(tmp_path)


def test_what_is_left_out_is_counted_and_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(checked_files, 'print_log', lambda text, *_: said.append(text))
    folder = tmp_path / 'leftImg8bit/train'
    write(folder / IMAGE.format('a'))
    for name in ('b.PNG', 'IMG.CR2', 'c.jpg', 'd.JPG', 'notes.txt'):
        (folder / name).touch()
    paths, sentence = images_below(folder)
    assert [path.name for path in paths] == [IMAGE.format('a'), 'b.PNG', 'c.jpg', 'd.JPG']
    assert sentence == f'1 image is left out in {folder}: .cr2 (1)'
    assert len(data_set(tmp_path, 'train')) == 1
    (line,) = said
    assert line.startswith(f'4 images are left out in {folder}: .cr2 (1), .jpg (2), .png (1). ')
    suffixes = "('_leftImg8bit.png', '.JPG', '.PNG', '.jpg')"
    assert line.endswith(f'or set img_suffix of the data set to {suffixes}')
    # the cure is one
    assert len(data_set(tmp_path, 'train', img_suffix=eval(suffixes))) == 4
    assert len(said) == 2
    assert '.cr2 (1)' in said[1]
    assert 'img_suffix' not in said[1]


@pytest.mark.parametrize('suffixes', [('.jpg', '.JPG'), ['.JPG', '.jpg']])
def test_several_suffixes(tmp_path, suffixes):
    folder = tmp_path / 'leftImg8bit/train/x'
    for name in ('a.jpg', 'b.JPG'):
        write(folder / name)
    frames = data_set(tmp_path, 'train', img_suffix=suffixes)
    labels = [frame.pseudo_label.name for frame in list_frames(frames, tmp_path / 'labels')]
    assert labels == ['a_gtFine_labelTrainIds.png', 'b_gtFine_labelTrainIds.png']
    write(folder / 'a.JPG')
    with pytest.raises(DataError, match=r'x/a\.JPG and x/a\.jpg .* would have the same label'):
        data_set(tmp_path, 'train', img_suffix=suffixes)


def test_listed_images_have_any_of_the_suffixes(tmp_path):
    folder = tmp_path / 'leftImg8bit/train'
    for name in ('a.jpg', 'b.JPG', 'c.jpg'):
        write(folder / name)
    (tmp_path / 'list.txt').write_text('b\n\na\n')
    options = {'img_suffix': ('.jpg', '.JPG'), 'ann_file': 'list.txt'}
    found = [os.path.basename(f['img_path']) for f in data_set(tmp_path, 'train', **options)]
    assert found == ['a.jpg', 'b.JPG']
    with pytest.raises(UserError, match=r'ann_file .*no\.txt of Cityscapes does not exist'):
        data_set(tmp_path, 'train', ann_file='no.txt')


@pytest.mark.parametrize('value', [None, (), '', 3, ('.jpg', None)])
def test_suffixes_that_are_none(tmp_path, value):
    write(tmp_path / 'leftImg8bit/train/a.jpg')
    with pytest.raises(UserError, match=r"img_suffix=.*: it is a text, or several as in \('\.jpg'"):
        data_set(tmp_path, 'train', img_suffix=value)


def test_every_split_is_converted_and_checked(tmp_path):
    for split in ('train', 'val', 'test', 'night'):
        write(tmp_path / f'leftImg8bit/{split}/x' / IMAGE.format('a'))
        label = tmp_path / f'gtFine/{split}/x/a_gtFine_labelIds.png'
        label.parent.mkdir(parents=True)
        write_grey(label, np.full((4, 6), 7))
    assert convert_data_set(CITYSCAPES, tmp_path, nproc=1).written == 4
    reports = list(inspect(CITYSCAPES, tmp_path, nproc=1))
    assert [report.split for report in reports] == ['train', 'val', 'night', 'test']
    assert [report.converted for report in reports] == [1] * 4
    assert not any(report.problems for report in reports)


def test_missing_label_that_the_converter_does_not_make(tmp_path):
    root = tmp_path / 'a/../root'
    (tmp_path / 'a').mkdir()
    cure = CITYSCAPES.label_cure(root, f'{tmp_path}/root/gtCoarse/val/a_gtCoarse_labelTrainIds.png')
    assert 'gtFine, to names in _gtFine_labelTrainIds.png: set data_prefix.seg_map_path' in cure
    wanted = f'{tmp_path}/root/gtFine/val/a_gtFine_labelTrainIds.png'
    assert 'There is no ' in CITYSCAPES.label_cure(root, wanted)
    (tmp_path / 'root/gtFine/val').mkdir(parents=True)
    write_grey(tmp_path / 'root/gtFine/val/a_gtFine_labelIds.png', np.full((4, 6), 7))
    cure = CITYSCAPES.label_cure(root, wanted)
    assert cure == f'Convert the labels: python tools/convert_datasets/cityscapes.py {root}'


def test_photographs_of_ones_own_are_checked(tmp_path):
    write(tmp_path / 'leftImg8bit/train/a.JPG')
    (tmp_path / 'leftImg8bit/train/b.jpeg').write_bytes(b'no picture')
    (tmp_path / 'leftImg8bit/train/c.nef').touch()
    report = next(inspect(CITYSCAPES, tmp_path, nproc=1))
    assert report.images == 2
    assert report.image_sizes == {(4, 6): 1}
    assert list(report.problems) == ['unreadable image']
    assert '.nef (1)' in report.left_out


def test_image_of_which_nothing_is_left(tmp_path):
    write_rgb(tmp_path / 'leftImg8bit/train/line.png', np.zeros((1, 2000, 3)))
    resize = {'type': 'Resize', 'scale': (64, 32), 'keep_ratio': True}
    frames = data_set(
        tmp_path, 'train', img_suffix='.png', pipeline=[{'type': 'LoadImageChecked'}, resize]
    )
    with pytest.raises(DataError, match=r'line\.png is 2000 x 1 pixels: .* nothing is left of it'):
        frames[0]
