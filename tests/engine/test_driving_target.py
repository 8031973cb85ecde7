"""The four steps on a target that is not Cityscapes, and on photographs in a folder of any name."""

import json

import cv2
import numpy as np
import pytest

from mmseg_uvpt.engine.scripts import generate_pseudo_label, test, train

TARGET = """
_base_ = {base!r}
driving = dict(type='DrivingDataset', layout='acdc', data_root='data/acdc', data_prefix=None)
target_train_dataloader = dict(dataset=dict(**driving, split='train'))
val_dataloader = dict(dataset=dict(**driving, split='val'))
test_dataloader = val_dataloader
{more}
"""


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels.astype(np.uint8))


@pytest.mark.slow
def test_adaptation_to_acdc(tmp_path, miniature, finished, data_root):
    random = np.random.default_rng(0)
    for i, weather in enumerate(('fog', 'rain', 'snow')):
        frame = f'GP0{i}/GP0{i}_frame_000001'
        for split in ('train', 'val'):
            image = data_root / f'acdc/rgb_anon/{weather}/{split}/{frame}_rgb_anon.png'
            write(image, random.integers(0, 255, (64, 96 + 32 * i, 3)))
        label = data_root / f'acdc/gt/{weather}/val/{frame}_gt_labelTrainIds.png'
        write(label, random.integers(0, 19, (64, 96 + 32 * i)))
    more = "train_dataloader = dict(dataset=dict(**driving, split='train'))\ndefault_hooks = dict("
    more += "label_correction=dict(foreign_labels=False, pseudo_label_dir='x'))"
    for name, text in (('tiny', ''), ('tiny-adapted', more)):
        base = str(miniature / f'{name}.py')
        (tmp_path / f'{name}.py').write_text(TARGET.format(base=base, more=text))
    labels, work = tmp_path / 'labels', tmp_path / 'adapted'
    source = str(finished / 'iter_4.pth')
    data = ['--data-root', str(data_root)]
    given = ['--config', str(tmp_path / 'tiny.py'), '--checkpoint', source]
    generate_pseudo_label.main([*given, '--pseudo_label_dir', str(labels), *data])
    found = sorted(path.relative_to(labels).as_posix() for path in labels.rglob('*.png'))
    assert found[0] == 'fog/train/GP00/GP00_frame_000001_gt_labelTrainIds.png'
    assert len(found) == 3
    adapted = [str(tmp_path / 'tiny-adapted.py'), *data, '--work-dir', str(work)]
    given = ['--source-checkpoint', source, '--pseudo-label-dir', str(labels)]
    train.main([*adapted, *given])
    test.main([adapted[0], str(work / 'iter_4.pth'), *adapted[1:], '--out', str(work / 'x.json')])
    assert json.loads((work / 'x.json').read_text())['mIoU19'] >= 0


def test_photographs_in_a_folder_of_any_name(tmp_path, finished, source_config):
    photographs = tmp_path / 'holiday'
    for name in ('a.jpg', 'town/b.JPG'):
        write(photographs / name, np.full((64, 128, 3), 99))
    given = ['--config', str(source_config), '--checkpoint', str(finished / 'iter_4.pth')]
    entries = [f'data_root={photographs}', 'data_prefix.img_path=.', "img_suffix=('.jpg','.JPG')"]
    options = [f'target_train_dataloader.dataset.{entry}' for entry in entries]
    labels = ['--pseudo_label_dir', str(tmp_path / 'labels')]
    generate_pseudo_label.main([*given, *labels, '--cfg-options', *options])
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob('labels/**/*.png'))
    ends = '_gtFine_labelTrainIds.png'
    assert found == [f'labels/{name}{ends}' for name in ('a', 'town/b')]
