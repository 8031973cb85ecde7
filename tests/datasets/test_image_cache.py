import contextlib
import copy
import multiprocessing
import os
import resource
import signal

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS, TRANSFORMS
from raw_labels import write_grey, write_rgb
from torch.utils.data import DataLoader

from mmseg_uvpt.datasets import gta_synthia, image_cache  # noqa: F401
from mmseg_uvpt.datasets.cache_entries import read_entry, write_entry
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.image_cache import all_transforms, through_cache
from mmseg_uvpt.errors import UserError

IMAGE, LABEL = {'type': 'LoadImageChecked'}, {'type': 'LoadLabelChecked'}
PSEUDO_LABEL = {'type': 'LoadPseudoLabel'}
RESIZE = {'type': 'Resize', 'scale': (20, 10), 'keep_ratio': True}
CROP = {'type': 'RandomCrop', 'crop_size': (4, 6)}


@pytest.fixture
def frames(tmp_path):
    """Three frames with labels, as pipelines get them."""
    found = []
    for i in range(3):
        rng = np.random.default_rng(i)
        image, label = tmp_path / f'images/{i}.png', tmp_path / f'labels/{i}_labelTrainIds.png'
        write_rgb(image, rng.integers(0, 256, (17, 33 + i, 3)))
        write_grey(label, rng.integers(0, 19, (17, 33 + i)))
        paths = {'seg_map_path': str(label), 'pseudo_label_path': str(label)}
        found.append({'img_path': str(image), 'seg_fields': [], **paths})
    return found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'cache'


def build(*pipeline):
    """Return a function that runs a pipeline on a frame, which stays as it is."""
    transforms = [TRANSFORMS.build(transform) for transform in pipeline]

    def run(frame):
        results = copy.deepcopy(frame)
        for transform in transforms:
            results = transform(results)
        return results

    return run


def cached(folder, *pipeline):
    return build(*through_cache({'pipeline': list(pipeline)}, str(folder))['pipeline'])


def same(a, b):
    """Tell whether two results are equal, types and bits."""
    return a.keys() == b.keys() and all(
        np.array_equal(a[key], b[key]) and a[key].dtype == b[key].dtype
        if isinstance(a[key], np.ndarray)
        else ascii(a[key]) == ascii(b[key])
        for key in a
    )


def files(folder):
    return sorted(path for path in folder.rglob('*') if path.is_file())


@pytest.fixture
def no_decoding(monkeypatch):
    """Return a context in which images cannot be decoded: what comes out is from the cache."""

    def refuse(*_):
        raise AssertionError('an image was decoded')

    @contextlib.contextmanager
    def context():
        with monkeypatch.context() as patch:
            patch.setattr(cv2, 'imdecode', refuse)
            yield

    return context


@pytest.mark.parametrize(
    'pipeline',
    [
        (IMAGE, RESIZE),
        (IMAGE, RESIZE, LABEL),
        (IMAGE, LABEL, RESIZE),
        (IMAGE, LABEL, {'type': 'Resize', 'scale_factor': 0.7}),
        (IMAGE, PSEUDO_LABEL, RESIZE),
        (IMAGE,),
    ],
)
def test_same_bits_and_types(frames, folder, no_decoding, pipeline):
    plain, run = build(*pipeline), cached(folder, *pipeline)
    expected = [plain(frame) for frame in frames]
    assert all(same(run(frame), result) for frame, result in zip(frames, expected, strict=True))
    assert len(files(folder)) == 3
    with no_decoding():
        assert all(same(run(frame), result) for frame, result in zip(frames, expected, strict=True))
        again = cached(folder, *pipeline)  # another process would start like this
        assert same(again(frames[0]), expected[0])


def test_real_frame(shared_samples, folder, no_decoding):
    frame = {'img_path': str(next(shared_samples.glob('cityscapes/leftImg8bit/train/*/*.png')))}
    pipeline = IMAGE, {'type': 'Resize', 'scale': (1024, 512), 'keep_ratio': True}
    expected, run = build(*pipeline)(frame), cached(folder, *pipeline)
    assert expected['img'].shape == (512, 1024, 3)
    run(frame)
    with no_decoding():
        assert same(run(frame), expected)


def test_what_comes_out_may_be_changed(frames, folder):
    run = cached(folder, IMAGE, RESIZE)
    run(frames[0])
    results = run(frames[0])
    before = results['img'].copy()
    results['img'][:] = 0
    results['seg_fields'].append('something')
    again = run(frames[0])
    np.testing.assert_array_equal(again['img'], before)
    assert again['seg_fields'] == frames[0]['seg_fields'] == []


def test_random_sizes_come_after_the_cache(frames, folder):
    random_size = {'type': 'RandomResize', 'scale': (20, 10), 'ratio_range': (0.5, 2)}
    config = {'dataset': {'pipeline': [IMAGE, LABEL, random_size, RESIZE]}}
    before = copy.deepcopy(config)
    pipeline = through_cache(config, str(folder))['dataset']['pipeline']
    assert config == before
    assert [step['type'] for step in pipeline] == ['ImageCache', 'RandomResize', 'Resize']
    assert pipeline[0]['transforms'] == [IMAGE, LABEL]
    sizes = set()
    for seed in range(4):
        found = []
        for run in (build(IMAGE, LABEL, random_size), build(*pipeline[:2])):
            np.random.seed(seed)  # noqa: NPY002 - mmcv draws from the global generator
            found.append(run(frames[0]))
        assert same(*found)
        sizes.add(found[0]['img'].shape)
    assert len(sizes) > 1


def test_pipeline_that_begins_otherwise_is_refused(folder):
    with pytest.raises(UserError, match=r'image_cache=.*begins with LoadImageFromFile'):
        through_cache({'pipeline': [{'type': 'LoadImageFromFile'}, RESIZE]}, str(folder))
    assert through_cache({'pipeline': [CROP]}, None) == {'pipeline': [CROP]}


def test_transforms_within_are_found(folder):
    pipeline = through_cache([IMAGE, RESIZE, CROP], None)
    built = [TRANSFORMS.build(step) for step in _pipeline(folder, *pipeline)]
    names = [type(transform).__name__ for transform in all_transforms(built)]
    assert names == ['LoadImageChecked', 'Resize', 'RandomCrop']


def _pipeline(folder, *steps):
    return through_cache({'pipeline': list(steps)}, str(folder))['pipeline']


@pytest.mark.parametrize('changed', ['img_path', 'seg_map_path', 'pseudo_label_path'])
@pytest.mark.parametrize('what', ['time', 'size'])
def test_changed_source_is_read_again(frames, folder, changed, what):
    pipeline = IMAGE, PSEUDO_LABEL if changed == 'pseudo_label_path' else LABEL, RESIZE
    run, path = cached(folder, *pipeline), frames[0][changed]
    first = run(frames[0])
    status = os.stat(path)
    pixels = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    cv2.imwrite(path, 0 * pixels + 3)
    if what == 'size':  # the time stays, as with a copy that keeps it
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        with open(path, 'ab') as file:  # the size stays; PNGs end at their last chunk
            file.write(bytes(status.st_size - os.path.getsize(path)))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert os.path.getsize(path) == status.st_size
    second = run(frames[0])
    assert same(second, build(*pipeline)(frames[0]))
    assert not same(second, first)
    assert len(files(folder)) == 1


def test_a_label_that_served_more_classes_is_read_again(frames, folder):
    cached = build({'type': 'ImageCache', 'folder': str(folder), 'transforms': [IMAGE, LABEL]})
    assert 'gt_seg_map' in cached({**frames[0], 'num_classes': 19})
    with pytest.raises(DataError, match=r'outside 0\.\.4 and 255 .* has 5 classes'):
        cached({**frames[0], 'num_classes': 5})


def test_a_pseudo_label_that_served_more_classes_is_read_again(frames, folder):
    load = {'type': 'LoadPseudoLabel', 'trained_on': True}
    cached = build({'type': 'ImageCache', 'folder': str(folder), 'transforms': [IMAGE, load]})
    frame = {**frames[0], 'pseudo_label_path': frames[0]['seg_map_path']}
    cached({**frame, 'num_classes': 19})
    with pytest.raises(DataError, match=r'outside 0\.\.4'):
        cached({**frame, 'num_classes': 5})


def test_missing_source_is_an_error_as_without_a_cache(frames, folder):
    run = cached(folder, IMAGE, RESIZE)
    run(frames[0])
    os.unlink(frames[0]['img_path'])
    with pytest.raises(DataError, match=r'0\.png does not exist'):
        run(frames[0])


def test_photograph_without_a_label_passes(frames, folder):
    frame = {'img_path': frames[0]['img_path']}
    assert same(cached(folder, IMAGE, LABEL)(frame), build(IMAGE, LABEL)(frame))


def test_other_recipe_has_other_files(frames, folder, monkeypatch):
    for scale in ((20, 10), (10, 5)):
        pipeline = IMAGE, {**RESIZE, 'scale': scale}
        assert same(cached(folder, *pipeline)(frames[0]), build(*pipeline)(frames[0]))
    pipeline = IMAGE, {**RESIZE, 'interpolation': 'nearest'}
    assert same(cached(folder, *pipeline)(frames[0]), build(*pipeline)(frames[0]))
    assert len(files(folder)) == 3
    monkeypatch.setattr(cv2, '__version__', '99')
    cached(folder, *pipeline)(frames[0])
    assert len(files(folder)) == 4


def test_damaged_file_is_made_again(frames, folder):
    run, expected = cached(folder, IMAGE, RESIZE), build(IMAGE, RESIZE)(frames[0])
    run(frames[0])
    (path,) = files(folder)
    whole = path.read_bytes()
    for place in (*range(0, 32, 3), *range(32, len(whole), 61)):  # head, text, padding, pixels
        data = bytearray(whole)
        data[place] ^= 0x10
        path.write_bytes(data)
        assert same(run(frames[0]), expected)
    path.write_bytes(data)
    run(frames[0])
    assert path.read_bytes() == whole


def test_entry_of_something_else_is_not_read(tmp_path):
    path, values = tmp_path / 'entry', {'img': np.ones((3, 5), np.uint8), 'a': (1, 0.1, 'ß')}
    write_entry(path, ('this', 1), values)
    assert same(read_entry(path, ('this', 1)), values)
    assert read_entry(path, ('this', 2)) is None
    assert read_entry(tmp_path / 'nothing', ('this', 1)) is None


def _fill(folder, frames, start):
    start.wait()
    run = cached(folder, IMAGE, LABEL, RESIZE)
    for _ in range(3):
        for frame in frames:
            run(frame)


def test_several_processes_fill_it_at_once(frames, folder):
    context = multiprocessing.get_context('fork')
    start = context.Barrier(4)
    processes = [context.Process(target=_fill, args=(folder, frames, start)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(files(folder)) == 3
    plain, run = build(IMAGE, LABEL, RESIZE), cached(folder, IMAGE, LABEL, RESIZE)
    assert all(same(run(frame), plain(frame)) for frame in frames)


def _killed_in_the_middle(folder, frame):
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # all is written, nothing is named
    cached(folder, IMAGE, RESIZE)(frame)


def test_killed_process_leaves_nothing_that_is_read(frames, folder):
    context = multiprocessing.get_context('fork')
    process = context.Process(target=_killed_in_the_middle, args=(folder, frames[0]))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (left,) = files(folder)
    assert left.suffix == '.part'
    run = cached(folder, IMAGE, RESIZE)
    assert left.exists()  # it might be another process's, still at work
    assert same(run(frames[0]), build(IMAGE, RESIZE)(frames[0]))
    long_ago = left.stat().st_mtime - 2 * 24 * 60 * 60
    os.utime(left, (long_ago, long_ago))
    cached(folder, IMAGE, RESIZE)
    assert not left.exists()
    assert len(files(folder)) == 1


def test_no_space_is_logged_once_and_changes_nothing_else(frames, folder, caplog):
    run, plain = cached(folder, IMAGE, RESIZE), build(IMAGE, RESIZE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        assert all(same(run(frame), plain(frame)) for frame in frames)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        logger.removeHandler(caplog.handler)
    assert files(folder) == []
    (record,) = caplog.records
    assert str(folder) in record.message
    assert 'File too large' in record.message
    run(frames[0])
    assert len(files(folder)) == 1


def test_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'file/cache of image_cache cannot be made: Not a dir'):
        cached(tmp_path / 'file/cache', IMAGE, RESIZE)


@pytest.mark.parametrize('workers', [0, 2])
def test_in_a_data_loader(frames, tmp_path, folder, no_decoding, workers):
    pack = {'type': 'PackSegInputs', 'meta_keys': ('ori_shape', 'img_shape', 'scale_factor')}
    config = {
        'type': 'GTADataset',
        'data_root': str(tmp_path),
        'pipeline': [IMAGE, LABEL, RESIZE, pack],
    }
    plain, run = (DATASETS.build(through_cache(config, f)) for f in (None, str(folder)))
    expected = list(plain)
    list(run)
    with no_decoding():
        found = list(DataLoader(run, None, num_workers=workers))
    for a, b in zip(found, expected, strict=True):
        assert a['inputs'].equal(b['inputs'])
        assert a['data_samples'].gt_sem_seg.data.equal(b['data_samples'].gt_sem_seg.data)
        assert a['data_samples'].metainfo == b['data_samples'].metainfo
