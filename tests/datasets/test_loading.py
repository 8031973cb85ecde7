import cv2
import numpy as np
import pytest
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image
from raw_labels import write_grey, write_gta, write_rgb
from torch.utils.data import DataLoader

from mmseg_uvpt.datasets import gta_synthia, transforms  # noqa: F401
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.decoding import check_pixels


def load_image(path):
    return TRANSFORMS.build({'type': 'LoadImageChecked'})({'img_path': str(path)})


def load_label(path, **results):
    results = {'seg_map_path': str(path), 'img_path': 'image.png', 'seg_fields': [], **results}
    return TRANSFORMS.build({'type': 'LoadLabelChecked'})(results)


def test_real_image_is_loaded_as_it_is(shared_samples):
    path = shared_samples / 'synthia/RGB/0000000.png'
    results = load_image(path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(results['img'][..., ::-1], np.array(image))
    assert results['img_shape'] == results['ori_shape'] == (760, 1280)


@pytest.mark.parametrize('part', [0.0, 0.3, 0.9, 0.9999])
def test_truncated_image_is_named(tmp_path, shared_samples, part):
    whole = (shared_samples / 'gta/images/00162.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(DataError, match=r'cut\.png is not a whole PNG'):
        load_image(tmp_path / 'cut.png')


def test_truncated_image_is_refused_where_opencv_would_fill_it(tmp_path, monkeypatch):
    """OpenCV 4 decodes what is there and reports success."""
    write_rgb(tmp_path / 'cut.png', np.full((8, 8, 3), 70))
    whole = (tmp_path / 'cut.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(whole[:-12])
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r'cut\.png is not a whole PNG'):
        load_image(tmp_path / 'cut.png')


def test_other_unreadable_images_are_named(tmp_path):
    with pytest.raises(DataError, match=r'none\.png does not exist'):
        load_image(tmp_path / 'none.png')
    (tmp_path / 'a.jpg').write_bytes(b'no picture')
    with pytest.raises(DataError, match=r'a\.jpg cannot be read as an image'):
        load_image(tmp_path / 'a.jpg')


def test_images_of_real_cameras_are_not_too_large():
    check_pixels('photo.png', (10_000, 10_000))
    with pytest.raises(DataError, match=r'photo\.png claims to be 20000 x 10000 pixels'):
        check_pixels('photo.png', (10_000, 20_000))


def test_label_is_loaded(tmp_path):
    label = np.array([[0, 18, 255], [3, 4, 5]])
    write_grey(tmp_path / 'a.png', label)
    results = load_label(tmp_path / 'a.png', ori_shape=(2, 3))
    assert results['gt_seg_map'].dtype == np.uint8
    np.testing.assert_array_equal(results['gt_seg_map'], label)
    assert results['seg_fields'] == ['gt_seg_map']


def test_label_values_outside_the_classes_are_named(tmp_path):
    write_grey(tmp_path / 'a.png', np.array([[0, 19], [33, 255]]))
    told = r'a\.png: label values \[19, 33\] are outside 0\.\.18 and 255 \(.* has 19 classes\)'
    with pytest.raises(DataError, match=told):
        load_label(tmp_path / 'a.png', num_classes=19)
    assert load_label(tmp_path / 'a.png', num_classes=34)['gt_seg_map'].max() == 255


@pytest.mark.parametrize('setting', [{'reduce_zero_label': True}, {'label_map': {1: 0}}])
def test_labels_are_not_mapped(tmp_path, setting):
    write_grey(tmp_path / 'a.png', np.array([[0, 1]]))
    with pytest.raises(
        DataError, match=rf'^{next(iter(setting))} of .*a\.png .*are not mapped here'
    ):
        load_label(tmp_path / 'a.png', **setting)


def test_label_of_another_size_is_named(tmp_path):
    write_grey(tmp_path / 'a.png', np.zeros((4, 6)))
    with pytest.raises(DataError, match=r'a\.png is 6 x 4, its image image\.png 8 x 4'):
        load_label(tmp_path / 'a.png', ori_shape=(4, 8))


def load_pseudo_label(path, size):
    results = {'img_path': 'a.png', 'ori_shape': size, 'seg_fields': []}
    transform = TRANSFORMS.build({'type': 'LoadPseudoLabel'})
    return transform({**results, 'pseudo_label_path': str(path)} if path else results)


def test_pseudo_label_is_loaded_under_a_name_of_its_own(tmp_path):
    label = np.array([[0, 18, 255], [3, 4, 5]], np.uint8)
    write_grey(tmp_path / 'a.png', label)
    write_gta(tmp_path / 'looked_at.png', label)  # with a palette
    for name in ('a.png', 'looked_at.png'):
        results = load_pseudo_label(tmp_path / name, (2, 3))
        assert results['pseudo_label'].dtype == np.uint8
        np.testing.assert_array_equal(results['pseudo_label'], label)
        assert results['seg_fields'] == ['pseudo_label']
    results['img'] = np.zeros((2, 3, 3), np.uint8)
    packed = TRANSFORMS.build({'type': 'PackSegInputs', 'meta_keys': ()})(results)
    assert not packed['data_samples'].keys()  # labels to train on come from the bank


def test_pseudo_label_that_does_not_serve_is_named(tmp_path):
    cure = r'generate_pseudo_label\.py, then go on with --resume'
    with pytest.raises(DataError, match=rf'^{tmp_path}/gone\.png does not exist.*{cure}'):
        load_pseudo_label(tmp_path / 'gone.png', (4, 6))
    write_grey(tmp_path / 'a.png', np.zeros((4, 6)))
    with pytest.raises(DataError, match=rf'a\.png is 6 x 4, its image a\.png 8 x 4\. .*{cure}'):
        load_pseudo_label(tmp_path / 'a.png', (4, 8))
    (tmp_path / 'a.png').write_bytes((tmp_path / 'a.png').read_bytes()[:-20])
    with pytest.raises(DataError, match=rf'a\.png is not a whole PNG .*{cure}'):
        load_pseudo_label(tmp_path / 'a.png', (4, 6))
    with pytest.raises(DataError, match=r'names no pseudo label.*pseudo_label_dir'):
        load_pseudo_label(None, (4, 6))


def test_error_of_a_loader_worker_is_the_message_alone(tmp_path):
    write_rgb(tmp_path / 'images/a.png', np.zeros((4, 6, 3)))
    write_grey(tmp_path / 'labels/a_labelTrainIds.png', np.full((4, 6), 77))
    pipeline = [{'type': 'LoadImageChecked'}, {'type': 'LoadLabelChecked'}]
    data_set = DATASETS.build(
        {'type': 'GTADataset', 'data_root': str(tmp_path), 'pipeline': pipeline}
    )
    with pytest.raises(DataError) as caught:
        next(iter(DataLoader(data_set, num_workers=1)))
    message = str(caught.value)
    assert message.startswith(str(tmp_path / 'labels/a_labelTrainIds.png'))
    assert '[77]' in message
    assert 'Traceback' not in message
    assert '\n' not in message
