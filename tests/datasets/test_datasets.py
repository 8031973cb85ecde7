import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image
from raw_labels import write_grey, write_rgb

from mmseg_uvpt.datasets import cityscapes, gta_synthia, transforms  # noqa: F401
from mmseg_uvpt.datasets.conversion.convert import convert_data_set
from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.datasets.layouts import LAYOUTS
from mmseg_uvpt.errors import UserError

IMAGE = {'type': 'LoadImageChecked'}
LABEL = {'type': 'LoadLabelChecked'}
CITYSCAPES_VAL = {'img_path': 'leftImg8bit/val', 'seg_map_path': 'gtFine/val'}
KINDS = {
    'gta': {'type': 'GTADataset'},
    'synthia': {'type': 'SynthiaDataset'},
    'cityscapes': {'type': 'CheckedCityscapesDataset', 'data_prefix': CITYSCAPES_VAL},
}
FILES = {
    'gta': ('images/a.png', 'labels/a_labelTrainIds.png'),
    'synthia': ('RGB/a.png', 'GT/LABELS/a_labelTrainIds.png'),
    'cityscapes': (
        'leftImg8bit/val/x/a_leftImg8bit.png',
        'gtFine/val/x/a_gtFine_labelTrainIds.png',
    ),
}


def build(kind, root, pipeline=(IMAGE, LABEL)):
    return DATASETS.build({**KINDS[kind], 'data_root': str(root), 'pipeline': list(pipeline)})


def add_image(kind, root):
    path = root / FILES[kind][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rgb(path, np.zeros((4, 6, 3)))


@pytest.mark.parametrize('kind', KINDS)
def test_predictions_made_here_are_no_images(tmp_path, kind):
    """They lie where `predict --out` put them, below the images, under the same names."""
    add_image(kind, tmp_path)
    image = tmp_path / FILES[kind][0]
    seen = image.parent / 'seen'
    seen.mkdir()
    for name in (image.name, f'own_{image.name}'):
        shutil.copy(image, seen / name)
    record = {'checkpoint_sha256': 'of a model', 'files': [image.name]}
    (seen / 'predictions.json').write_text(json.dumps(record))
    data_set = build(kind, tmp_path, [IMAGE])
    named = [Path(data_set.get_data_info(i)['img_path']) for i in range(len(data_set))]
    assert {*named} == {image, seen / f'own_{image.name}'}
    layout = LAYOUTS[kind]
    frames, _ = layout.image_frames(tmp_path, 'val' if kind == 'cityscapes' else layout.splits[0])
    assert {*frames.values()} == {*named}


@pytest.mark.parametrize(('kind', 'frames'), [('gta', 2), ('synthia', 1), ('cityscapes', 3)])
def test_real_frames(tmp_path, shared_samples, kind, frames):
    root = tmp_path / kind
    shutil.copytree(shared_samples / kind, root, copy_function=shutil.copyfile)
    convert_data_set(LAYOUTS[kind], root, nproc=1)
    data_set = build(kind, root)
    assert len(data_set) == frames
    assert tuple(data_set.metainfo['classes']) == CLASSES
    results = data_set[0]
    assert results['img'].shape[:2] == results['gt_seg_map'].shape
    with Image.open(results['seg_map_path']) as label:
        np.testing.assert_array_equal(results['gt_seg_map'], np.array(label))


@pytest.mark.parametrize('kind', KINDS)
def test_missing_and_empty_folders_say_what_mends_them(tmp_path, kind):
    command = f'python tools/convert_datasets/{kind}.py {tmp_path}'
    folder = (tmp_path / FILES[kind][0]).parent
    with pytest.raises(UserError, match='there is no such folder') as caught:
        build(kind, tmp_path)
    assert command in str(caught.value)
    folder.mkdir(parents=True)
    (folder / 'a.txt').touch()
    with pytest.raises(UserError, match='no image there ends in') as caught:
        build(kind, tmp_path)
    assert command in str(caught.value)


@pytest.mark.parametrize('kind', KINDS)
def test_image_without_label_says_what_mends_it(tmp_path, kind):
    add_image(kind, tmp_path)
    with pytest.raises(UserError, match='1 of 1 images') as caught:
        build(kind, tmp_path)
    assert str(tmp_path / FILES[kind][1]) in str(caught.value)
    assert f'python tools/convert_datasets/{kind}.py {tmp_path}' in str(caught.value)
    (tmp_path / FILES[kind][1]).parent.mkdir(parents=True)
    write_grey(tmp_path / FILES[kind][1], np.zeros((4, 6)))
    assert len(build(kind, tmp_path)) == 1


def test_labels_are_asked_for_only_where_they_are_loaded(tmp_path):
    add_image('cityscapes', tmp_path)
    assert len(build('cityscapes', tmp_path, [IMAGE])) == 1
    views = {'type': 'TestTimeAug', 'transforms': [[{'type': 'Resize', 'scale': (6, 4)}], [LABEL]]}
    with pytest.raises(UserError, match='1 of 1 images'):
        build('cityscapes', tmp_path, [IMAGE, views])


@pytest.mark.parametrize('kind', KINDS)
def test_image_that_is_a_link_to_nothing_is_named(kind, tmp_path):
    """mmengine leaves such names out in silence."""
    image, label = FILES[kind]
    write_rgb(tmp_path / image, np.zeros((4, 6, 3)))
    write_grey(tmp_path / label, np.zeros((4, 6)))
    lost = (tmp_path / image).with_name((tmp_path / image).name.replace('a', 'b', 1))
    lost.symlink_to('nowhere')
    with pytest.raises(UserError, match=rf'1 images of .*{lost}, which is a link to a file that'):
        build(kind, tmp_path)
