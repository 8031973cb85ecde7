"""A folder of photographs: which are used, and what is said of the others."""

import re

import pytest
from nasty_folder import GOOD, make_nasty_folder, scene
from PIL import Image

from mmseg_uvpt.adapting.labelled import find_labelled
from mmseg_uvpt.adapting.photographs import MAPS, UNREADABLE, _distinct, survey
from mmseg_uvpt.errors import UserError


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    return survey(make_nasty_folder(tmp_path_factory.mktemp('nasty')), 1)


def test_what_can_be_used(found):
    assert found.used == GOOD
    assert found.distinct == len(GOOD) - 1  # two frames of one video
    assert found.sizes == 4
    assert found.size == (64, 96)


def test_what_cannot_is_named_with_its_reason(found):
    expected = {
        'which cannot be read': [r'cut\.jpg \(.+\)', r'empty\.png \(.+\)'],
        'the same as others': [r'look_0_again\.bmp \(look_0\.png\)'],
        'for scoring, or label maps': [r'look_1_labelTrainIds\.png'],
        'of the name of another': [
            r'street\.png \(street\.JPG\)',
            r'street_classes\.png \(street\.JPG\)',
        ],
        'too small or too narrow': [r'icon\.png \(16 x 16\)', r'panorama\.png \(400 x 40\)'],
        'videos, of which frames can be taken by ffmpeg': [r'clip\.mp4'],
    }
    assert found.left_out.keys() == expected.keys()
    for reason, patterns in expected.items():
        for pattern, named in zip(patterns, found.left_out[reason], strict=True):
            assert re.fullmatch(pattern, named)
    assert '.dng (1)' in found.other_files


def test_it_is_said_in_a_few_lines(found):
    lines = list(found.lines())
    assert lines[0] == (
        '9 used, 4 sizes, most often 96 x 64; 1 look as one before, as frames of a video do'
    )
    assert len(lines) == 1 + len(found.left_out) + 1


def test_frames_count_once_as_long_as_nothing_moves():
    """A slow change counts in the end, though no frame differs much from the one before."""
    assert _distinct([0]) == 1
    assert _distinct([0b1, 0b11, 0b111, 0b1]) == 1
    assert _distinct([2**bits - 1 for bits in range(16)]) == 4


def test_turned_photographs_are_measured_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(scene(0, (64, 96))).save(tmp_path / 'a.jpg', exif=exif)
    assert survey(tmp_path, 1).size == (96, 64)


@pytest.mark.parametrize(
    ('make', 'says'),
    [
        (lambda folder: None, 'it holds no image'),
        (lambda folder: (folder / 'a.jpg').touch(), r'1 left out, which cannot be read: a\.jpg'),
        (lambda folder: folder.rmdir(), 'is no folder'),
    ],
)
def test_a_folder_without_any_is_refused(tmp_path, make, says):
    folder = tmp_path / 'photographs'
    folder.mkdir()
    make(folder)
    with pytest.raises(UserError, match=says):
        survey(folder, 1)


def test_names_that_no_list_can_hold_are_left_out(tmp_path):
    for name in ('a.png', 'b\n.png', ' c.png', 'caf\udce9.png'):
        Image.fromarray(scene(len(name) + ord(name[0]))).save(tmp_path / name)
    found = survey(tmp_path, 1)
    assert found.used == ['a.png']
    (named,) = found.left_out.values()
    assert named == ["' c.png'", "'b\\n.png'", "'caf\\udce9.png'"]


def test_capitals_alone_make_no_other_name(tmp_path):
    """Their predictions would be one file on some disks, so `uvpt predict` refuses them."""
    for i, name in enumerate(('IMG_1.JPG', 'img_1.jpg', 'img_2.jpg')):
        Image.fromarray(scene(i)).save(tmp_path / name)
    assert survey(tmp_path, 1).used == ['IMG_1.JPG', 'img_2.jpg']


def test_what_is_to_score_with_is_not_trained_on(tmp_path):
    few = tmp_path / 'few'
    for folder in ('images', 'labels'):
        (few / folder).mkdir(parents=True)
    for i, name in enumerate(('a.png', 'b.png', 'few/images/c.png')):
        Image.fromarray(scene(i)).save(tmp_path / name)
    maps = ('few/labels/c.png', 'few/labels/whose.png', 'x_gtFine_color.png')
    for i, name in enumerate(maps):
        Image.fromarray(scene(9 + i)[..., 0] // 20).save(tmp_path / name)
    (few / 'images/b_again.png').write_bytes((tmp_path / 'b.png').read_bytes())
    (few / 'labels/b_again.png').write_bytes((few / 'labels/c.png').read_bytes())
    found = survey(tmp_path, 1, find_labelled(few))
    assert found.used == ['a.png']
    copied = f'b.png ({few / "images/b_again.png"})'
    scoring = ['few/images/b_again.png', 'few/images/c.png', 'few/labels/b_again.png', *maps]
    assert found.left_out == {'for scoring, or label maps': scoring, 'the same as others': [copied]}


def test_names_that_are_too_long_for_their_results_are_left_out(tmp_path):
    for length in (237, 238):
        Image.fromarray(scene(length)).save(tmp_path / f'{"a" * length}.png')
    found = survey(tmp_path, 1)
    assert [len(name) for name in found.used] == [241]
    assert list(found.left_out) == ['whose name is too long for those of its results']


def test_a_link_to_itself_is_a_file_that_cannot_be_read(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / 'a.png')
    (tmp_path / 'loop.jpg').symlink_to('loop.jpg')
    found = survey(tmp_path, 1)
    assert found.used == ['a.png']
    assert list(found.left_out) == [UNREADABLE]


def test_label_maps_are_known_by_their_values(tmp_path):
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    Image.fromarray(scene(0)).save(tmp_path / 'images/0.png')
    Image.fromarray(scene(1)).convert('L').save(tmp_path / 'images/grey.png')
    label = scene(2)[..., 0] // 20
    label[:9] = 255
    Image.fromarray(label).save(tmp_path / 'labels/0.png')
    found = survey(tmp_path, 1)
    assert found.used == ['images/0.png', 'images/grey.png']
    assert found.left_out == {MAPS: ['labels/0.png']}


def test_predictions_are_no_photographs(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / 'p0.png')
    seen = tmp_path / 'seen'
    seen.mkdir()
    for i, name in enumerate(('p0.png', 'mine.png')):
        Image.fromarray(scene(1 + i)).save(seen / name)
    (seen / 'predictions.json').write_text('{"checkpoint_sha256": "a", "files": ["p0.png"]}')
    found = survey(tmp_path, 1)
    assert found.used == ['p0.png', 'seen/mine.png']
    assert found.left_out == {'predictions made here': ['seen/p0.png']}
    (tmp_path / 'predictions.json').write_text('{"of": "others"}')
    assert survey(tmp_path, 1).used == found.used
