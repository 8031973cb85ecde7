import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_labels import classes_of_synthia, write_grey, write_gta, write_rgb, write_synthia

REPOSITORY = Path(__file__).resolve().parents[2]
PATCHES = np.kron(np.arange(12).reshape(3, 4) + 1, np.ones((20, 30), int))
GTA_TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3}  # of the ids in PATCHES


def command(name, root, *options):
    script = REPOSITORY / 'tools' / 'convert_datasets' / f'{name}.py'
    return [sys.executable, str(script), str(root), *options]


def convert(name, root, *options):
    return subprocess.run(command(name, root, *options), capture_output=True, text=True)


def read(path):
    with Image.open(path) as image:
        assert image.mode == 'L'
        return np.array(image)


def counts_of(label):
    return {str(c): n for c, n in sorted(Counter(label[label != 255].tolist()).items())}


def expected_gta(ids):
    return np.vectorize(lambda i: GTA_TRAIN_IDS.get(i, 255))(ids)


@pytest.fixture
def gta(tmp_path):
    """Root of a data set of three labels."""
    for name in 'abc':
        write_gta(tmp_path / f'labels/{name}.png', PATCHES)
    return tmp_path


@pytest.mark.slow
def test_real_frames_with_statistics(tmp_path, shared_samples):
    for name in ('gta', 'synthia', 'cityscapes'):
        shutil.copytree(shared_samples / name, tmp_path / name, copy_function=shutil.copyfile)
        done = convert(name, tmp_path / name, '--nproc', '2')
        assert done.returncode == 0, done.stderr

    with Image.open(tmp_path / 'gta/labels/07428.png') as raw:
        raw = np.array(raw)
    label = read(tmp_path / 'gta/labels/07428_labelTrainIds.png')
    for raw_id, train_id in ((7, 0), (11, 2), (21, 8), (23, 10), (26, 13), (0, 255), (34, 255)):
        assert (label[raw == raw_id] == train_id).all()

    raw = classes_of_synthia(tmp_path / 'synthia/GT/LABELS/0000000.png')
    label = read(tmp_path / 'synthia/GT/LABELS/0000000_labelTrainIds.png')
    for raw_id, train_id in ((3, 0), (2, 2), (6, 8), (1, 10), (8, 13), (12, 17), (0, 255)):
        np.testing.assert_array_equal(label[raw == raw_id], train_id)

    train = sorted((tmp_path / 'cityscapes/gtFine/train').rglob('*_labelTrainIds.png'))
    val = sorted((tmp_path / 'cityscapes/gtFine/val').rglob('*_labelTrainIds.png'))
    assert (len(train), len(val)) == (4, 3)
    per_file = json.loads((tmp_path / 'cityscapes/sample_class_stats.json').read_text())
    expected = [
        {**counts_of(read(path)), 'file': str(path.relative_to(tmp_path / 'cityscapes'))}
        for path in train
    ]
    assert per_file == expected  # of the train split alone
    per_class = json.loads((tmp_path / 'cityscapes/samples_with_class.json').read_text())
    assert per_class == {
        str(c): [[entry['file'], entry[str(c)]] for entry in expected if str(c) in entry]
        for c in range(19)
        if any(str(c) in entry for entry in expected)
    }


def test_second_run_skips_what_is_done_and_whole(gta):
    labels = {n: gta / f'labels/{n}_labelTrainIds.png' for n in 'abc'}
    assert 'labels converted: 3, done already: 0' in convert('gta', gta, '--nproc', '1').stdout
    statistics = (gta / 'sample_class_stats.json').read_text()
    assert 'a_labelTrainIds.png' in statistics
    before = {n: p.stat().st_mtime_ns for n, p in labels.items()}

    done = convert('gta', gta, '--nproc', '1')
    assert 'labels converted: 0, done already: 3' in done.stdout
    assert {n: p.stat().st_mtime_ns for n, p in labels.items()} == before
    assert (gta / 'sample_class_stats.json').read_text() == statistics

    labels['a'].write_bytes(labels['a'].read_bytes()[:-20])  # not whole
    write_grey(labels['b'], np.zeros((4, 4)))  # of another size
    (gta / 'sample_class_stats.json').unlink()
    done = convert('gta', gta, '--nproc', '1')
    assert 'labels converted: 2, done already: 1' in done.stdout
    assert labels['c'].stat().st_mtime_ns == before['c']
    for path in labels.values():
        np.testing.assert_array_equal(read(path), expected_gta(PATCHES))
    assert (gta / 'sample_class_stats.json').read_text() == statistics

    assert 'labels converted: 3' in convert('gta', gta, '--nproc', '1', '--force').stdout
    assert labels['c'].stat().st_mtime_ns > before['c']


def test_label_that_changed_is_converted_again(gta):
    convert('gta', gta, '--nproc', '1')
    write_gta(gta / 'labels/b.png', np.full(PATCHES.shape, 8))
    assert 'labels converted: 1, done already: 2' in convert('gta', gta, '--nproc', '1').stdout
    assert (read(gta / 'labels/b_labelTrainIds.png') == 1).all()
    per_file = json.loads((gta / 'sample_class_stats.json').read_text())
    assert per_file[1] == {'1': PATCHES.size, 'file': 'labels/b_labelTrainIds.png'}


def test_unusable_labels_are_named_and_the_others_converted(tmp_path):
    folder = tmp_path / 'GT/LABELS'
    for name in ('good', 'zeros', 'colours', 'cut', 'last'):
        write_synthia(folder / f'{name}.png', PATCHES)
    write_synthia(folder / 'zeros.png', np.zeros((4, 4), int), np.ones((4, 4), int))
    write_rgb(folder / 'colours.png', np.full((4, 4, 3), 70))
    (folder / 'cut.png').write_bytes((folder / 'cut.png').read_bytes()[:90])
    done = convert('synthia', tmp_path, '--nproc', '2')
    assert done.returncode == 1
    end = done.stderr[
        done.stderr.index('error: labels that could not be converted: 3') :
    ].splitlines()
    assert len(end) == 4
    for line, (name, reason) in zip(
        end[1:],
        [('colours', '3 of 8 bits'), ('cut', 'not a whole PNG'), ('zeros', 'every pixel is 0')],
        strict=True,
    ):
        assert line.strip().startswith(f'{folder / name}.png')
        assert reason in line
    assert 'Traceback' not in done.stderr
    converted = sorted(p.name for p in folder.glob('*_labelTrainIds.png'))
    assert converted == ['good_labelTrainIds.png', 'last_labelTrainIds.png']
    files = [e['file'] for e in json.loads((tmp_path / 'sample_class_stats.json').read_text())]
    assert files == [f'GT/LABELS/{name}' for name in converted]


def test_cityscapes_from_polygons_where_there_are_no_label_ids(tmp_path):
    square = {'label': 'car', 'polygon': [[2, 3], [8, 3], [8, 6], [2, 6]]}
    text = json.dumps({'imgWidth': 20, 'imgHeight': 10, 'objects': [square]})
    folder = tmp_path / 'gtFine/train/x'
    write_grey(folder / 'both_gtFine_labelIds.png', np.full((10, 20), 7))
    (folder / 'both_gtFine_polygons.json').write_text(text)
    (folder / 'only_gtFine_polygons.json').write_text(text)
    test = tmp_path / 'gtFine/test/x'
    test.mkdir(parents=True)
    (test / 'hidden_gtFine_polygons.json').write_text(text)
    done = convert('cityscapes', tmp_path, '--nproc', '1')
    assert done.returncode == 0, done.stderr
    assert (read(folder / 'both_gtFine_labelTrainIds.png') == 0).all()
    expected = np.full((10, 20), 255)
    expected[3:7, 2:9] = 13
    np.testing.assert_array_equal(read(folder / 'only_gtFine_labelTrainIds.png'), expected)
    np.testing.assert_array_equal(read(test / 'hidden_gtFine_labelTrainIds.png'), expected)

    (folder / 'bad_gtFine_polygons.json').write_text(text.replace('car', 'spaceship'))
    done = convert('cityscapes', tmp_path, '--nproc', '1')
    assert done.returncode == 1
    assert 'bad_gtFine_polygons.json' in done.stderr
    assert 'spaceship' in done.stderr
    assert not (folder / 'bad_gtFine_labelTrainIds.png').exists()


def test_nothing_to_convert_says_what_was_looked_for(tmp_path):
    for root, reason in ((tmp_path / 'none', 'no such folder'), (tmp_path, 'no labels of GTA')):
        done = convert('gta', root)
        assert done.returncode == 1
        assert done.stderr.startswith('error: ')
        assert done.stderr.count('\n') == 1
        assert str(root) in done.stderr
        assert reason in done.stderr
        assert 'data/README.md' in done.stderr
    assert convert('gta', tmp_path, '--nproc', '0').returncode == 2


def test_second_converter_at_the_same_time_is_refused(gta):
    handle = os.open(gta, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        done = convert('gta', gta, '--nproc', '1')
    finally:
        os.close(handle)
    assert done.returncode == 1
    assert 'another converter is at work' in done.stderr
    assert convert('gta', gta, '--nproc', '1').returncode == 0


def test_no_space_left_ends_the_run_and_overwrites_nothing(gta, monkeypatch):
    from mmseg_uvpt.datasets.conversion.convert import convert_data_set
    from mmseg_uvpt.datasets.layouts import GTA
    from mmseg_uvpt.errors import UserError

    convert_data_set(GTA, gta, nproc=1)
    before = {p: p.read_bytes() for p in gta.rglob('*') if p.is_file()}

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(UserError, match=r'a_labelTrainIds\.png: No space left'):
        convert_data_set(GTA, gta, nproc=1, force=True)
    assert {p: p.read_bytes() for p in gta.rglob('*') if p.is_file()} == before


@pytest.mark.slow
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_stopped_run_leaves_no_half_file(tmp_path, how, hear_ctrl_c):
    noise = np.random.default_rng(0).integers(7, 14, (600, 600))
    write_gta(tmp_path / 'labels/000.png', noise)
    count = 100  # more than are converted before the signal arrives
    for i in range(1, count):
        os.link(tmp_path / 'labels/000.png', tmp_path / f'labels/{i:03}.png')
    run = subprocess.Popen(
        command('gta', tmp_path, '--nproc', '2'),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob('labels/*_labelTrainIds.png')):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if how == signal.SIGINT:
        os.killpg(run.pid, how)  # as a terminal does: to the workers too
    else:
        run.kill()
    _, errors = run.communicate(timeout=60)  # ends only when the workers have ended as well
    labels = sorted(tmp_path.glob('labels/*_labelTrainIds.png'))
    assert 0 < len(labels) < count
    expected = np.where(np.isin(noise, [7, 8, 11, 12, 13]), 0, 255)
    for raw_id, train_id in ((8, 1), (11, 2), (12, 3), (13, 4)):
        expected[noise == raw_id] = train_id
    for path in labels:
        np.testing.assert_array_equal(read(path), expected)
    if how == signal.SIGINT:
        assert run.returncode == 130
        assert 'Traceback' not in errors
        assert not list(tmp_path.rglob('*.part'))

    half = tmp_path / 'labels/.023_labelTrainIds.png.x.part'
    half.write_bytes(b'half')
    done = convert('gta', tmp_path, '--nproc', '2')
    assert done.returncode == 0, done.stderr
    assert f'done already: {len(labels)}' in done.stdout
    assert len(list(tmp_path.glob('labels/*_labelTrainIds.png'))) == count
    assert not list(tmp_path.rglob('*.part'))


@pytest.mark.parametrize('name', ['gta', 'synthia', 'cityscapes'])
def test_help_shows_an_example(name):
    done = convert(name, '--help')
    assert done.returncode == 0
    assert f'example: python tools/convert_datasets/{name}.py data/{name}' in done.stdout


def test_conversion_needs_no_torch():
    code = 'import sys, mmseg_uvpt.datasets.conversion.convert; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
