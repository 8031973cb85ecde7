import subprocess
import sys

import numpy as np
import pytest
from raw_labels import write_grey, write_gta, write_rgb

from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY


def check(root, *options):
    script = REPOSITORY / 'tools' / 'check_data.py'
    return subprocess.run(
        [sys.executable, str(script), str(root), '--nproc', '1', *options],
        capture_output=True,
        text=True,
    )


@pytest.fixture
def data(tmp_path):
    """A data root whose GTA part is in order: 3/4 road and 1/4 ignored in one of two labels."""
    raw = np.full((20, 40), 7)
    train_ids = np.zeros((20, 40))
    for name in 'ab':
        write_rgb(tmp_path / f'gta/images/{name}.png', np.zeros((20, 40, 3)))
        write_gta(tmp_path / f'gta/labels/{name}.png', raw)
        write_grey(tmp_path / f'gta/labels/{name}_labelTrainIds.png', train_ids)
        raw, train_ids = raw.copy(), train_ids.copy()
        raw[:10, :20], train_ids[:10, :20] = 4, 255
    return tmp_path


def test_data_in_order(data):
    for root in (data, data / 'gta'):
        done = check(root)
        assert done.returncode == 0, done.stdout + done.stderr
        assert 'images 2, raw labels 2, pairs 2, converted labels 2' in done.stdout
        assert 'image sizes: 40 x 20 (2)' in done.stdout
        rows = [line.replace('|', ' ').split() for line in done.stdout.splitlines()]
        assert ['0', 'road', '87.500', '2', '100.0'] in rows
        assert ['1', 'sidewalk', '0.000', '0', '0.0'] in rows
        assert ['255', 'ignored', '12.500'] in rows
        assert 'problems found: 0' in done.stdout


def test_real_samples_lack_the_conversion(shared_samples):
    done = check(shared_samples)
    assert done.returncode == 1
    for name, frames in (('gta', 2), ('synthia', 1), ('cityscapes', 4)):
        cure = f'python tools/convert_datasets/{name}.py {shared_samples / name}'
        assert f'problem: label not converted ({frames}). Cure: {cure}\n' in done.stdout
    assert done.stdout.endswith('problems found: 10\n')


def _remove(path):
    path.unlink()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:60])


DAMAGES = {
    'label without image': ('images/a.png', _remove),
    'unreadable image': ('images/a.png', _truncate),
    'unreadable raw label': ('labels/a.png', _truncate),
    'label not converted': ('labels/a_labelTrainIds.png', _remove),
    'unusable converted label': (
        'labels/a_labelTrainIds.png',
        lambda path: write_grey(path, np.full((20, 40), 44)),
    ),
    'converted label that its raw label does not give': (
        'labels/a_labelTrainIds.png',
        lambda path: write_grey(path, np.full((20, 40), 5)),
    ),
    'image and label of different size': (
        'images/a.png',
        lambda path: write_rgb(path, np.zeros((20, 44, 3))),
    ),
}


@pytest.mark.parametrize('kind', DAMAGES)
def test_problem_is_named_with_its_cure(data, kind):
    file, damage = DAMAGES[kind]
    damage(data / 'gta' / file)
    done = check(data / 'gta')
    assert done.returncode == 1
    assert f'problem: {kind} (1). Cure: ' in done.stdout
    assert str(data / 'gta/labels/a.png') in done.stdout or str(data / 'gta' / file) in done.stdout
    assert done.stdout.endswith('problems found: 1\n')


def test_image_without_label(data):
    write_rgb(data / 'gta/images/c.png', np.zeros((20, 40, 3)))
    done = check(data / 'gta')
    assert done.returncode == 1
    assert 'image without label (1). Cure: put the raw label there' in done.stdout
    assert str(data / 'gta/images/c.png') in done.stdout


def test_target_without_train_labels_is_in_order(tmp_path):
    for split in ('train', 'val'):
        frame = f'{split}/x/a'
        write_rgb(tmp_path / f'leftImg8bit/{frame}_leftImg8bit.png', np.zeros((4, 6, 3)))
    write_grey(tmp_path / 'gtFine/val/x/a_gtFine_labelIds.png', np.full((4, 6), 7))
    write_grey(tmp_path / 'gtFine/val/x/a_gtFine_labelTrainIds.png', np.zeros((4, 6)))
    done = check(tmp_path)
    assert done.returncode == 0, done.stdout
    assert 'No labels: enough to adapt to' in done.stdout
    (tmp_path / 'gtFine/val/x/a_gtFine_labelIds.png').unlink()
    (tmp_path / 'gtFine/val/x/a_gtFine_labelTrainIds.png').unlink()
    assert 'problem: image without label (1)' in check(tmp_path).stdout


def test_folder_that_is_no_data_set(tmp_path):
    done = check(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f'error: {tmp_path} looks like no data set')
    done = check(tmp_path, '--dataset', 'gta')
    assert done.returncode == 1
    assert 'problem: no image (1)' in done.stdout
    assert check(tmp_path / 'none').stderr.count('\n') == 1


@pytest.mark.parametrize('folder', ['town', 'images'])  # GTA's are called so, beside labels
def test_a_plain_folder_of_photographs(tmp_path, folder):
    for number in range(2):
        write_rgb(tmp_path / folder / f'{number}.png', np.full((40, 60, 3), number))
    done = check(tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'photographs without labels in {tmp_path}:\n2 used, all of 60 x 40' in done.stdout
    (tmp_path / folder / '2.png').write_bytes(b'damaged')
    done = check(tmp_path)
    assert done.returncode == 1
    assert f'1 left out, which cannot be read: {folder}/2.png' in done.stdout
    assert done.stdout.endswith('problems found: 1\n')


@pytest.mark.slow
def test_classes_that_a_config_names(data, tmp_path):
    """Labels hold their ids as they are; raw ones of other classes may lie beside them."""
    base = REPOSITORY / 'configs/pretrain/sss_swin-b_gta5.py'
    config = tmp_path / 'own.py'
    config.write_text(
        f'_base_ = {str(base)!r}\nmetainfo = dict(classes={[f"kind {i}" for i in range(25)]})\n'
    )
    label = np.full((20, 40), 24)
    label[:5] = 255
    write_grey(data / 'gta/labels/a_labelTrainIds.png', label)
    done = check(data / 'gta', '--config', str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '|       24 | kind 24 |      37.500 |' in done.stdout
    write_grey(data / 'gta/labels/a_labelTrainIds.png', np.full((20, 40), 25))
    done = check(data / 'gta', '--config', str(config))
    assert 'label values [25] are outside 0..24 and 255' in done.stdout
    assert done.returncode == 1
