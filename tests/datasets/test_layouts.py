"""Data sets beside GTA, SYNTHIA and Cityscapes: small files in the formats of each."""

import json

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image
from raw_labels import write_grey, write_gta, write_rgb

from mmseg_uvpt.commands import check_data
from mmseg_uvpt.datasets import driving, transforms  # noqa: F401
from mmseg_uvpt.datasets.conversion.convert import convert_data_set
from mmseg_uvpt.datasets.conversion.inspection import inspect
from mmseg_uvpt.datasets.conversion.inspection_report import report_text
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.datasets.layouts import LAYOUTS
from mmseg_uvpt.errors import UserError

SIZE = (4, 6)
# image, label that is trained on, and the split that both are of
FILES = {
    'urbansyn': ('rgb/rgb_0001.png', 'ss/rgb_0001_labelTrainIds.png', None),
    'acdc': (
        'rgb_anon/fog/train/GP01/GP01_frame_000001_rgb_anon.png',
        'gt/fog/train/GP01/GP01_frame_000001_gt_labelTrainIds.png',
        'train',
    ),
    'dark_zurich': (
        'rgb_anon/val/night/GP01/GP01_frame_000001_rgb_anon.png',
        'gt/val/night/GP01/GP01_frame_000001_gt_labelTrainIds.png',
        'val/night',
    ),
    'bdd100k': ('images/10k/val/a-b.jpg', 'labels/sem_seg/masks/val/a-b.png', 'val'),
    'bdd100k_seg': ('images/val/a-b.jpg', 'labels/val/a-b_train_id.png', 'val'),
    'mapillary': (
        'training/images/-a_b.jpg',
        'training/v1.2/labels/-a_b_labelTrainIds.png',
        'training',
    ),
    'mapillary_v2': (
        'validation/images/-a_b.jpg',
        'validation/v2.0/labels/-a_b_labelTrainIds.png',
        'validation',
    ),
    'idd': (
        'leftImg8bit/train/201/frame1_leftImg8bit.png',
        'gtFine/train/201/frame1_gtFine_labelTrainIds.png',
        'train',
    ),
    'cityscapes': (
        'leftImg8bit/train/ulm/ulm_0_leftImg8bit.png',
        'gtFine/train/ulm/ulm_0_gtFine_labelTrainIds.png',
        'train',
    ),
}
NAMES_V12 = """animal--bird animal--ground-animal construction--barrier--curb
construction--barrier--fence construction--barrier--guard-rail construction--barrier--other-barrier
construction--barrier--wall construction--flat--bike-lane construction--flat--crosswalk-plain
construction--flat--curb-cut construction--flat--parking construction--flat--pedestrian-area
construction--flat--rail-track construction--flat--road construction--flat--service-lane
construction--flat--sidewalk construction--structure--bridge construction--structure--building
construction--structure--tunnel human--person human--rider--bicyclist human--rider--motorcyclist
human--rider--other-rider marking--crosswalk-zebra marking--general nature--mountain nature--sand
nature--sky nature--snow nature--terrain nature--vegetation nature--water object--banner
object--bench object--bike-rack object--billboard object--catch-basin object--cctv-camera
object--fire-hydrant object--junction-box object--mailbox object--manhole object--phone-booth
object--pothole object--street-light object--support--pole object--support--traffic-sign-frame
object--support--utility-pole object--traffic-light object--traffic-sign--back
object--traffic-sign--front object--trash-can object--vehicle--bicycle object--vehicle--boat
object--vehicle--bus object--vehicle--car object--vehicle--caravan object--vehicle--motorcycle
object--vehicle--on-rails object--vehicle--other-vehicle object--vehicle--trailer
object--vehicle--truck object--vehicle--wheeled-slow void--car-mount void--ego-vehicle
void--unlabeled"""
V12 = NAMES_V12.split()  # in the order of config_v1.2.json
ROBUST_NET = {  # train ids of ids in version 1.2
    **{
        13: 0,
        24: 0,
        41: 0,
        2: 1,
        15: 1,
        17: 2,
        6: 3,
        3: 4,
        45: 5,
        47: 5,
        48: 6,
        50: 7,
        30: 8,
        29: 9,
    },
    **{27: 10, 19: 11, 20: 12, 21: 12, 22: 12, 55: 13, 61: 14, 54: 15, 58: 16, 57: 17, 52: 18},
}
V12_TRAIN_IDS = [ROBUST_NET.get(i, 255) for i in range(66)]
V20 = [
    *('human--person--person-group', 'object--traffic-light--cyclists'),
    *('marking--discrete--arrow--left', 'marking--discrete--crosswalk-zebra'),
    *('object--support--pole-group', 'object--traffic-sign--direction-front'),
    *('marking-only--continuous--dashed', 'marking-only--discrete--crosswalk-zebra'),
]
V20_TRAIN_IDS = [11, 6, 0, 255, 255, 7, 0, 255]


def write_vistas_config(root, version, names):
    labels = [{'name': name, 'readable': name, 'color': [0, 0, 0]} for name in names]
    (root / f'config_{version}.json').write_text(json.dumps({'labels': labels}))


def write_polygons(path, objects, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{'label': name, 'polygon': points} for name, points in objects]
    height, width = size
    path.write_text(json.dumps({'imgHeight': height, 'imgWidth': width, 'objects': listed}))


def convert(name, root):
    report = convert_data_set(LAYOUTS[name], root, nproc=1)
    if report.errors:
        raise DataError(report.errors[0])
    return report.written


def read(path):
    with Image.open(path) as image:
        assert image.mode == 'L'
        return np.array(image)


def build(name, root, labels=True, **changes):
    pipeline = [{'type': 'LoadImageChecked'}, *([{'type': 'LoadLabelChecked'}] * labels)]
    described = {'type': 'DrivingDataset', 'layout': name, 'data_root': str(root)}
    split = {'split': FILES[name][2]} if FILES[name][2] else {}
    return DATASETS.build({**described, **split, 'pipeline': pipeline, **changes})


@pytest.mark.parametrize('name', FILES)
def test_images_and_labels_of_a_split(tmp_path, name):
    image, label, split = FILES[name]
    write_rgb(tmp_path / image, np.zeros((*SIZE, 3)))
    with pytest.raises(UserError, match=r'1 of 1 images .* have no label') as caught:
        build(name, tmp_path)
    assert str(tmp_path / label) in str(caught.value)
    converter = f'python tools/convert_datasets/{name}.py {tmp_path}'
    assert (converter in str(caught.value)) == bool(LAYOUTS[name].raw_suffixes)
    assert len(build(name, tmp_path, labels=False)) == 1
    write_grey(tmp_path / label, np.full(SIZE, 13))
    frame = build(name, tmp_path)[0]
    assert frame['img'].shape == (*SIZE, 3)
    assert (frame['gt_seg_map'] == 13).all()
    if split:
        with pytest.raises(UserError, match='several splits: set split to'):
            build(name, tmp_path, split=None)


def test_a_split_of_acdc_is_in_all_weathers(tmp_path):
    for weather in ('fog', 'night'):
        for split, end in (('train', 'rgb'), ('val', 'rgb'), ('train_ref', 'rgb_ref')):
            image = f'rgb_anon/{weather}/{split}/GP01/{split}_{weather}_{end}_anon.png'
            write_rgb(tmp_path / image, np.zeros((*SIZE, 3)))
    frames = build('acdc', tmp_path, labels=False)
    names = [frames.get_data_info(i)['img_path'].split('/')[-1] for i in range(len(frames))]
    assert names == ['train_fog_rgb_anon.png', 'train_night_rgb_anon.png']
    with pytest.raises(DataError, match='no image there'):
        build('acdc', tmp_path, labels=False, split='test')


def test_urbansyn_holds_train_ids_and_19(tmp_path):
    ids = np.array([[0, 10, 18, 19], [1, 2, 16, 255]])
    write_grey(tmp_path / 'ss/ss_0001.png', ids)
    write_rgb(tmp_path / 'ss/ss_0002.png', np.repeat(ids[..., None], 3, 2))
    assert convert('urbansyn', tmp_path) == 2
    for number in (1, 2):
        label = read(tmp_path / f'ss/rgb_000{number}_labelTrainIds.png')
        np.testing.assert_array_equal(label, np.where(ids == 19, 255, ids))
    write_grey(tmp_path / 'ss/ss_0003.png', ids + 1)
    with pytest.raises(DataError, match=r'ss_0003\.png: an UrbanSyn label holds ids 0..18'):
        convert('urbansyn', tmp_path)
    write_rgb(tmp_path / 'ss/ss_0003.png', np.dstack([ids, ids, ids * 0]))
    with pytest.raises(DataError, match=r'is grey with 8 bits, this one has 3 of 8 bits'):
        convert('urbansyn', tmp_path)


@pytest.mark.parametrize(
    ('name', 'version', 'names', 'train_ids'),
    [
        ('mapillary', 'v1.2', V12, V12_TRAIN_IDS),
        ('mapillary', 'v1.2', V12[::-1], V12_TRAIN_IDS[::-1]),
        ('mapillary_v2', 'v2.0', V12 + V20, V12_TRAIN_IDS + V20_TRAIN_IDS),
    ],
)
def test_mapillary_goes_by_the_names_in_its_config(tmp_path, name, version, names, train_ids):
    label = tmp_path / f'training/{version}/labels/a.png'
    write_gta(label, np.arange(len(names))[None], palette=[9] * 3 * len(names))
    with pytest.raises(DataError, match=rf'config_{version}\.json does not exist'):
        convert(name, tmp_path)
    write_vistas_config(tmp_path, version, names)
    assert convert(name, tmp_path) == 1
    assert read(label.with_name('a_labelTrainIds.png'))[0].tolist() == train_ids


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"labels": [{"name": "nature--sky"}]}', r'names no label that is road, sidewalk, '),
        ('{"labels": ', 'is no config of Mapillary Vistas'),
        ('[]', 'is no config of Mapillary Vistas'),
    ],
)
def test_config_of_mapillary_that_names_nothing(tmp_path, text, message):
    write_grey(tmp_path / 'training/v1.2/labels/a.png', np.zeros(SIZE))
    (tmp_path / 'config_v1.2.json').write_text(text)
    with pytest.raises(DataError, match=message):
        convert('mapillary', tmp_path)


def test_ids_that_the_config_of_mapillary_lacks(tmp_path):
    write_grey(tmp_path / 'training/v1.2/labels/a.png', np.full(SIZE, len(V12)))
    write_vistas_config(tmp_path, 'v1.2', V12)
    with pytest.raises(DataError, match=r'a\.png: id 66 is none of the 66 labels of '):
        convert('mapillary', tmp_path)


def test_idd_goes_by_the_names_of_its_polygons(tmp_path, capfd):
    def column(x):
        return [[x, 0], [x, 4], [x, 2]]

    path = tmp_path / 'gtFine/train/201/frame1_gtFine_polygons.json'
    names = ['road', 'non-drivable fallback', 'autorickshaw', 'motorcyclegroup', 'curb']
    write_polygons(path, [(name, column(x)) for x, name in enumerate(names)])
    assert convert('idd', tmp_path) == 1
    label = read(tmp_path / FILES['idd'][1])
    assert label.tolist() == [[0, CLASSES.index('terrain'), 255, 17, 255, 255]] * 4
    clicks = [('car', [[3, 3]]), ('car', []), ('car', [[0, 0], [5, 3]])]
    write_polygons(path, [('road', column(0)), ('terrain', column(1)), *clicks])
    assert convert('idd', tmp_path) == 1
    label = read(tmp_path / FILES['idd'][1])
    assert label.tolist() == [[0, 255, 255, 255, 255, 255]] * 4
    assert "IDD: the label 'terrain' is none of its table, and left out" in capfd.readouterr().err


def test_images_of_idd_may_be_of_another_format(tmp_path):
    image, _, _ = FILES['idd']
    image = tmp_path / image.replace('.png', '.jpg')
    image.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(image)
    raw = tmp_path / FILES['idd'][1].replace('labelTrainIds.png', 'polygons.json')
    write_polygons(raw, [('road', [[0, 0], [5, 0], [5, 3]])])
    convert('idd', tmp_path)
    report, *_ = inspect(LAYOUTS['idd'], tmp_path, nproc=1)
    assert (report.pairs, dict(report.problems)) == (1, {})
    assert report.left_out == 'Set img_suffix of the data set to _leftImg8bit.jpg'


@pytest.mark.parametrize('written', ['train/acdc', './train/acdc', 'train//acdc'])
def test_splits_stay_apart_however_the_root_is_written(tmp_path, monkeypatch, written):
    """One of its folders is called like a split."""
    monkeypatch.chdir(tmp_path)
    for split in ('train', 'val'):
        name = f'fog/{split}/GP01/GP01_frame_000001'
        write_rgb(tmp_path / f'train/acdc/rgb_anon/{name}_rgb_anon.png', np.zeros((*SIZE, 3)))
        write_grey(tmp_path / f'train/acdc/gt/{name}_gt_labelTrainIds.png', np.zeros(SIZE))
    described = dict(type='DrivingDataset', layout='acdc', data_root=written, split='train')
    dataset = DATASETS.build(described)
    assert len(dataset) == 1
    assert '/train/GP01/' in dataset.get_data_info(0)['img_path']


def test_twins_among_photographs_are_both_read(tmp_path):
    folder = tmp_path / 'leftImg8bit/train'
    write_rgb(folder / 'IMG_1.png', np.zeros((*SIZE, 3)))
    (folder / 'IMG_1.jpg').write_bytes(b'broken')
    report, *_ = inspect(LAYOUTS['cityscapes'], tmp_path, nproc=1)
    assert report.images == 2
    (told,) = report.problems['unreadable image']
    assert 'IMG_1.jpg' in told


def test_checking_what_has_its_own_train_ids(tmp_path, capsys):
    image, label, _ = FILES['acdc']
    val = [name.replace('train', 'val', 1) for name in (image, label)]
    for name in (image, val[0]):
        write_rgb(tmp_path / name, np.zeros((*SIZE, 3)))
    write_grey(tmp_path / val[1], np.zeros(SIZE))
    layout = LAYOUTS['acdc']
    reports = list(inspect(layout, tmp_path, nproc=1))
    assert [(r.split, r.images, r.converted) for r in reports] == [('train', 1, 0), ('val', 1, 1)]
    assert not any(report.problems for report in reports)  # train needs no labels
    write_grey(tmp_path / label, np.zeros(SIZE))
    write_rgb(tmp_path / image.replace('000001', '000002'), np.zeros((*SIZE, 3)))
    report = next(iter(inspect(layout, tmp_path, nproc=1)))  # but all of them, if any
    assert len(report.problems['image without label']) == 1
    write_grey(tmp_path / val[1], np.full(SIZE, 33))
    report = list(inspect(layout, tmp_path, nproc=1))[1]
    assert 'Cure: put the original there again\n' in report_text(layout, tmp_path, report)


def test_check_data_knows_all_layouts(tmp_path):
    assert tuple(LAYOUTS) == check_data.NAMES
    for name, (image, _, _) in FILES.items():
        write_rgb(tmp_path / name / image, np.zeros((*SIZE, 3)))
        ((layout, root),) = check_data._data_sets(tmp_path / name, None)
        assert (layout.name, root) == (name, tmp_path / name)
    found = check_data._data_sets(tmp_path, None)
    assert {layout.name: root.name for layout, root in found} == {name: name for name in FILES}
    for name, elsewhere in (('bdd100k', 'a'), ('acdc', 'b'), ('dark_zurich', 'c')):
        root = (tmp_path / name).rename(tmp_path / elsewhere)
        assert check_data._data_sets(root, None)[0][0].name == name


def test_unknown_layout():
    with pytest.raises(UserError, match="layout='kitti': known are gta, synthia, cityscapes, "):
        DATASETS.build({'type': 'DrivingDataset', 'layout': 'kitti', 'data_root': 'x'})


def test_labels_of_own_classes_are_never_to_be_converted(tmp_path):
    """That would put Cityscapes' ids in the place of what somebody drew."""
    image, label, _ = FILES['cityscapes']
    write_rgb(tmp_path / image, np.zeros((*SIZE, 3)))
    write_grey(tmp_path / label.replace('labelTrainIds', 'labelIds'), np.zeros(SIZE))
    write_grey(tmp_path / label, np.full(SIZE, 7))
    layout = LAYOUTS['cityscapes']
    report = next(iter(inspect(layout, tmp_path, 1, ('road', 'car'))))
    said = report_text(layout, tmp_path, report)
    assert 'Cure: put a label of the ids 0 to 1 and 255 there' in said
    assert 'convert_datasets' not in said
