"""The folder of MiniCity and its command."""

import hashlib
import json
import subprocess
import sys

import pytest

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.minicity.looks import FOG, TARGETS
from mmseg_uvpt.minicity.production import plan, produce
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob('*')
        if path.is_file() and path.name != 'minicity.json'
    }


@pytest.fixture(scope='module')
def city(tmp_path_factory):
    """Two frames a set, by one process."""
    root = tmp_path_factory.mktemp('city')
    assert produce(root, 2, 1, seed=6, nproc=1, force=False) == (7, 0)
    return root


def test_tree(city):
    assert sorted(digests(city)) == [
        'cityscapes/gtFine/train/minitown/minitown_000000_000019_gtFine_labelIds.png',
        'cityscapes/gtFine/train/minitown/minitown_000000_000019_gtFine_polygons.json',
        'cityscapes/gtFine/train/minitown/minitown_000001_000019_gtFine_labelIds.png',
        'cityscapes/gtFine/train/minitown/minitown_000001_000019_gtFine_polygons.json',
        'cityscapes/gtFine/val/miniburg/miniburg_000000_000019_gtFine_labelIds.png',
        'cityscapes/gtFine/val/miniburg/miniburg_000000_000019_gtFine_polygons.json',
        'cityscapes/leftImg8bit/train/minitown/minitown_000000_000019_leftImg8bit.png',
        'cityscapes/leftImg8bit/train/minitown/minitown_000001_000019_leftImg8bit.png',
        'cityscapes/leftImg8bit/val/miniburg/miniburg_000000_000019_leftImg8bit.png',
        'gta/images/00001.png',
        'gta/images/00002.png',
        'gta/labels/00001.png',
        'gta/labels/00002.png',
        'synthia/GT/LABELS/0000000.png',
        'synthia/GT/LABELS/0000001.png',
        'synthia/RGB/0000000.png',
        'synthia/RGB/0000001.png',
    ]


@pytest.mark.slow
def test_frames_do_not_depend_on_processes_or_counts(city, tmp_path):
    command = [sys.executable, 'tools/make_demo_data.py', str(tmp_path / 'other')]
    options = ['--train-frames', '3', '--val-frames', '1', '--seed', '6', '--nproc', '2']
    done = subprocess.run([*command, *options], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    other = digests(tmp_path / 'other')
    assert len(other) == 17 + 2 + 2 + 3
    for path, digest in digests(city).items():
        assert other[path] == digest, path


def test_no_street_occurs_twice(tmp_path):
    jobs = list(plan(tmp_path, 5, 5, seed=0))
    assert len({job.index for job in jobs}) == len(jobs) == 20


def test_only_what_is_not_whole_is_rendered_again(city):
    before = digests(city)
    cut, lost = city / 'gta/images/00002.png', city / 'synthia/GT/LABELS/0000000.png'
    cut.write_bytes(cut.read_bytes()[:-20])
    lost.unlink()
    assert produce(city, 2, 1, seed=6, nproc=1, force=False) == (2, 5)
    assert digests(city) == before


@pytest.mark.slow
def test_another_city_is_refused_unless_forced(tmp_path):
    produce(tmp_path, 1, 1, seed=0, nproc=1, force=False)
    before = digests(tmp_path)
    with pytest.raises(UserError, match=r'seed 0, not 1.*--force'):
        produce(tmp_path, 1, 1, seed=1, nproc=1, force=False)
    assert digests(tmp_path) == before
    stale = tmp_path / 'gta/labels/00001_labelTrainIds.png'
    stale.write_bytes(b'made from seed 0')
    assert produce(tmp_path, 1, 1, seed=1, nproc=1, force=True) == (4, 0)
    assert not stale.exists()
    assert digests(tmp_path) != before


@pytest.mark.slow
def test_a_linked_city_is_not_taken_for_the_new_one(tmp_path):
    """Its frames would count as done."""
    root, elsewhere = tmp_path / 'city', tmp_path / 'elsewhere'
    produce(root, 1, 1, seed=0, nproc=1, force=False)
    (root / 'cityscapes').rename(elsewhere)
    (root / 'cityscapes').symlink_to(elsewhere)
    with pytest.raises(UserError, match=r'cityscapes is a link: delete it'):
        produce(root, 1, 1, seed=1, nproc=1, force=True)
    assert json.loads((root / 'minicity.json').read_text())['seed'] == 0


def test_a_sheet_replaces_nothing(tmp_path):
    photograph = tmp_path / 'mine.png'
    photograph.write_bytes(b'mine')
    command = [sys.executable, 'tools/make_demo_data.py', '--preview', str(photograph)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert 'mine.png exists: name another file, or replace it with --force' in done.stderr
    assert photograph.read_bytes() == b'mine'


def test_more_frames_are_added_to_a_city(city, tmp_path):
    produce(tmp_path, 1, 1, seed=6, nproc=1, force=False)
    assert produce(tmp_path, 2, 1, seed=6, nproc=1, force=False) == (3, 4)
    assert digests(tmp_path) == digests(city)
    with pytest.raises(UserError, match='train_frames 2, not 1'):
        produce(tmp_path, 1, 1, seed=6, nproc=1, force=False)


def test_another_look_is_of_the_target_alone(city, tmp_path):
    produce(tmp_path, 1, 1, seed=6, nproc=1, force=False, target=FOG)
    day, fog = digests(city), digests(tmp_path)
    assert {name.split('/')[1] for name in fog if fog[name] != day[name]} == {'leftImg8bit'}
    assert '"lamps"' not in (city / 'minicity.json').read_text(), 'as before there was a night'
    with pytest.raises(UserError, match='other looks'):
        produce(tmp_path, 1, 1, seed=6, nproc=1, force=False)


def test_the_command_names_all_looks():
    command = [sys.executable, 'tools/make_demo_data.py', '--help']
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert f'--look {{{",".join(sorted(TARGETS))}}}' in done.stdout


def test_real_data_are_never_touched(tmp_path):
    kept = tmp_path / 'gta/images/00001.png'
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b'real')
    with pytest.raises(UserError, match='gta that are not MiniCity'):
        produce(tmp_path, 1, 1, seed=0, nproc=1, force=True)
    assert kept.read_bytes() == b'real'
    assert not (tmp_path / 'minicity.json').exists()


def test_command_shows_errors_in_one_line(tmp_path):
    (tmp_path / 'synthia').mkdir()
    command = [sys.executable, 'tools/make_demo_data.py']
    done = subprocess.run([*command, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    done = subprocess.run(
        [*command, str(tmp_path), '--train-frames', '0'],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "--train-frames: '0' is not a whole number above 0" in done.stderr
