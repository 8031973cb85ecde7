"""Three lines from a file to classes: what `mmseg_uvpt.load` takes, and what it gives."""

import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import mmseg_uvpt
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.inference import images, loop, tiles, video_files
from mmseg_uvpt.engine.inference.images import CLASSES, predict_images
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.engine.inference.sources import Video, is_video
from mmseg_uvpt.errors import UserError


@pytest.fixture(scope='module')
def model(finished, source_config):
    return mmseg_uvpt.load(source_config, finished / 'iter_4.pth')


def pixels(seed: int, height: int = 64, width: int = 128) -> np.ndarray:
    """Return blocks of random colours, which a network tells from each other."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 255, (height // 8, width // 8, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    """Two PNGs of two sizes, within a folder."""
    paths = [tmp_path / 'photos/a.png', tmp_path / 'photos/town/b.png']
    for seed, (path, width) in enumerate(zip(paths, (128, 96), strict=True)):
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), pixels(seed, width=width))
    return paths


@pytest.fixture
def film(tmp_path) -> Path:
    """Five frames of 128 x 64 at 10 a second."""
    path = tmp_path / 'film.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (128, 64))
    for seed in range(5):
        writer.write(pixels(seed))
    writer.release()
    return path


def test_importing_is_cheap():
    """`load` and what it returns need torch; the package does not."""
    told = 'import sys, mmseg_uvpt; mmseg_uvpt.load; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', told]).returncode == 0


def test_an_image_by_any_name(model, photos):
    result = model(str(photos[0]))
    assert result.classes.shape == result.confidence.shape == (64, 128)
    assert (result.classes.dtype, result.confidence.dtype) == (np.uint8, np.float32)
    assert len(np.unique(result.classes)) > 1
    assert 1 / 19 < result.confidence.min() <= result.confidence.max() <= 1
    assert result.class_names == model.classes
    assert model.classes[:2] == ('road', 'sidewalk')
    assert len(model.palette) == 19
    array = cv2.imread(str(photos[0]))
    given = [photos[0], array, Image.open(photos[0]), Image.open(photos[0]).convert('RGBA')]
    for other in map(model, given):
        np.testing.assert_array_equal(other.classes, result.classes)
        np.testing.assert_array_equal(other.confidence, result.confidence)
        np.testing.assert_array_equal(other.overlay(), result.overlay())


def test_a_photograph_of_pillow_is_turned_upright(model, photos, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photos[0]).save(tmp_path / 'held.jpg', exif=exif, quality=100)
    upright = model(tmp_path / 'held.jpg')
    assert upright.classes.shape == (128, 64)
    opened = model(Image.open(tmp_path / 'held.jpg'))
    assert (opened.classes == upright.classes).mean() > 0.99  # two decoders of JPEG


def test_many_images(model, photos, film):
    single = [model(path) for path in photos]
    several = model([photos[0], cv2.imread(str(photos[1]))], batch_size=2)
    assert isinstance(several, list)
    for found in (several, model(photos[0].parent), model(path for path in photos)):
        for result, expected in zip(found, single, strict=True):
            np.testing.assert_array_equal(result.classes, expected.classes)
    frames = [frame.pixels for frame in Video(str(film))]
    assert len(frames) == 5
    for result, frame in zip(model(film), frames, strict=True):
        np.testing.assert_array_equal(result.classes, model(frame).classes)
        np.testing.assert_array_equal(result.image, frame)


def test_an_iterator_is_read_as_it_is_needed(model):
    seen = []

    def endless():
        while True:
            seen.append(len(seen))
            yield pixels(0)

    found = model(endless())
    next(found)
    found.close()
    assert len(seen) < 50


def test_arrays_may_be_changed_by_who_gives_them(model):
    """A camera's buffer, say: images are loaded ahead of what is predicted."""
    given, buffer = [pixels(seed) for seed in range(6)], np.empty((64, 128, 3), np.uint8)

    def reused():
        for image in given:
            buffer[:] = image
            yield buffer

    for result, image in zip(model(reused()), given, strict=True):
        np.testing.assert_array_equal(result.classes, model(image).classes)


def test_what_comes_before_an_error_is_predicted(model):
    def fails():
        yield pixels(0)
        raise ValueError('no more')

    found = model(fails())
    assert next(found).classes.shape == (64, 128)
    with pytest.raises(ValueError, match='no more'):
        next(found)


def test_full_size_reaches_views_of_an_image(finished, source_config):
    cfg = read(source_config)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    result = Predictor(cfg, finished / 'iter_4.pth', full_size=True)(pixels(0, 40, 72))
    assert result.logits.shape[1:] == (40, 72)
    assert result.overlay().shape == (40, 72, 3)


def test_a_result_says_what_it_is(model, photos):
    result = model(photos[0])
    assert repr(result) == f'Result of {photos[0]}, 128 x 64'
    assert result != model(photos[0])  # no comparison of tensors
    assert len({result}) == 1
    with pytest.raises(UserError, match=r'opacity=2: must be in 0\.\.1'):
        result.overlay(2)
    for size in (0, 2.0, None):
        with pytest.raises(UserError, match='must be a number of images'):
            model(photos[0], batch_size=size)


def test_a_result_is_saved(model, photos, tmp_path):
    result = model(photos[0])
    result.save(tmp_path / 'seen/a.png', opacity=1)
    colours = np.array(model.palette, np.uint8)[result.classes]
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'seen/a.png'))[..., ::-1], colours)
    result.save(str(tmp_path / 'a.JPG'))
    assert cv2.imread(str(tmp_path / 'a.JPG')).shape == (64, 128, 3)
    with pytest.raises(UserError, match=r'a\.txt: name an image file to be written'):
        result.save(tmp_path / 'a.txt')


@pytest.mark.parametrize(
    ('given', 'told'),
    [
        (5.0, 'float is nothing to predict: give a path'),
        (np.zeros((64, 128), np.uint8), r'an array.*uint8 \(64, 128\)'),
        (np.zeros((64, 128, 3)), r'this one is float64 \(64, 128, 3\)'),
        (Image.new('I;16', (128, 64)), 'mode I;16: save it as 8-bit RGB'),
        ('none.jpg', 'none.jpg does not exist: name an image'),
        ('none.mp4', 'video none.mp4 does not exist'),
        (['film.mp4'], 'film.mp4 is a video, which is given by itself'),
        ('', 'an empty name is no image'),
        (True, 'bool is nothing to predict'),
        (-1, r'video -1 does not exist'),
        (np.zeros((0, 5, 3), np.uint8), 'an array has no pixel'),
        ('rtsp://127.0.0.1:1/none', 'video rtsp://127.0.0.1:1/none cannot be opened'),
        (np.zeros((1, 5000, 3), np.uint8), 'an array is 5000 x 1 pixels: resized and cut'),
    ],
)
def test_what_cannot_be_predicted(model, given, told):
    with pytest.raises(UserError, match=told):
        list(model(given if isinstance(given, str | int | list) else [given]))


def test_damaged_images_of_pillow(model, monkeypatch):
    def load(self):
        raise SyntaxError('broken PNG file')  # as Pillow does

    image = Image.new('L', (96, 64))
    monkeypatch.setattr(Image.Image, 'load', load)
    with pytest.raises(UserError, match='an image of Pillow cannot be read: broken PNG file'):
        model(image)


@pytest.mark.parametrize('device', ['cuda:7', 'toaster'])
def test_a_device_that_is_not_there(finished, source_config, device):
    with pytest.raises(UserError, match=f"device '{device}' cannot be used"):
        mmseg_uvpt.load(source_config, finished / 'iter_4.pth', device=device)


def test_precision_is_that_of_the_config_unless_it_is_asked_for(finished, source_config, tmp_path):
    config = tmp_path / 'amp.py'
    config.write_text(f"_base_ = ['{source_config}']\nuvpt = dict(amp=True)")
    for asked, got in ((None, True), (True, True), (False, False)):
        model = mmseg_uvpt.load(config, finished / 'iter_4.pth', amp=asked)
        assert model.cfg.uvpt.amp is got
    mmseg_uvpt.load(config, finished / 'iter_4.pth').save_pretrained(tmp_path / 'shared')
    assert mmseg_uvpt.from_pretrained(tmp_path / 'shared').cfg.uvpt.amp is True


def test_videos_through_the_tool(finished, source_config, photos, film, tmp_path, capfd):
    out = tmp_path / 'out'
    checkpoint = str(finished / 'iter_4.pth')

    def run(*sources):
        return predict_images(read(source_config), checkpoint, [*sources], str(out), 'run')[:2]

    assert run(str(photos[0]), str(film)) == (1, 5)
    assert {path.name for path in out.iterdir()} == {
        *('a.png', f'a{CLASSES}', 'film.mp4', 'predictions.json')
    }
    assert 'predicting film: 5/5 frames' in capfd.readouterr().err
    capture = cv2.VideoCapture(str(out / 'film.mp4'))
    assert (capture.get(cv2.CAP_PROP_FPS), capture.read()[1].shape) == (10, (64, 128, 3))
    assert run(str(film)) == (0, 5)  # its own file may be replaced
    with pytest.raises(UserError, match=r'would overwrite .*film\.mp4, which is read'):
        predict_images(read(source_config), checkpoint, [str(film)], str(tmp_path), 'run')
    before = (out / 'film.mp4').read_bytes()
    film.write_bytes(film.read_bytes()[:2000])
    with pytest.raises(UserError, match=r'film\.mp4 .*cannot be opened|no frame that OpenCV'):
        run(str(film))
    assert (out / 'film.mp4').read_bytes() == before
    assert not list(out.glob('.*'))


def test_a_video_that_cannot_be_written_whole(finished, source_config, film, tmp_path):
    """OpenCV says nothing of a full disk."""
    out, before = tmp_path / 'out', resource.getrlimit(resource.RLIMIT_FSIZE)
    cfg, ignored = read(source_config), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    write = video_files.write_video
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(images, 'write_video', lambda *a: _limited(write, a, before))
            with pytest.raises(UserError, match=r'cannot write .*film\.mp4: no space left'):
                predict_images(cfg, str(finished / 'iter_4.pth'), [str(film)], str(out), 'run')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in out.iterdir()] == ['predictions.json']


def _limited(write, arguments, before):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        return write(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_videos_of_one_name_and_of_odd_sides(finished, source_config, film, tmp_path, capfd):
    second = tmp_path / 'more/film.mp4'
    second.parent.mkdir()
    coded = cv2.VideoWriter_fourcc(*'MJPG')
    writer = cv2.VideoWriter(str(second.with_suffix('.avi')), coded, 5, (64, 48))
    for seed in range(3):
        writer.write(pixels(seed, 48, 64))
    writer.release()
    checkpoint, cfg = str(finished / 'iter_4.pth'), read(source_config)
    both = [str(film), str(second.with_suffix('.avi'))]
    with pytest.raises(UserError, match=r'both be predicted as film\.mp4'):
        predict_images(cfg, checkpoint, both, str(tmp_path / 'out'), 'run')
    assert predict_images(cfg, checkpoint, both[1:] * 2, str(tmp_path / 'out'), 'run').frames == 3
    latin = tmp_path / 'caf\udce9.avi'  # of which OpenCV would end the process
    latin.write_bytes(film.read_bytes())
    with pytest.raises(UserError, match='a name that is no UTF-8: rename it'):
        Video(str(latin))
    with pytest.raises(UserError, match='its name is no UTF-8'):
        video_files.write_video(latin, [pixels(0)], Video(str(film)))
    fast = SimpleNamespace(name='fast', rate=239.9713, frames=2)
    assert video_files.write_video(tmp_path / 'fast.mp4', [pixels(0)] * 2, fast) == 2
    odd = [pixels(seed)[:47, :63] for seed in range(2)]
    assert video_files.write_video(tmp_path / 'odd.mp4', odd, Video(str(film))) == 2
    assert cv2.VideoCapture(str(tmp_path / 'odd.mp4')).read()[1].shape == (48, 64, 3)
    cv2.imwrite(str(second.with_name('a.png')), pixels(0))
    predict_images(cfg, checkpoint, [str(second.parent)], str(tmp_path / 'again'), 'run')
    assert 'Videos are named one by one' in capfd.readouterr().err


def test_what_is_a_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    videos = 'a.MP4', 'rtsp://camera/1', '0', 0, np.int64(0), Path('a.mov')
    assert all(map(is_video, (*videos, '/dev/video0', 'v4l2src ! videoconvert ! appsink')))
    Path('100 %d.png').touch()  # a file may be called anything
    assert not any(map(is_video, ('wow ! nice.jpg', 'my%20dog.jpg', 'frames/%04d.png')))
    Path('0001.png').touch()
    assert is_video('%04d.png')
    (tmp_path / '7').mkdir()
    assert not any(map(is_video, ('a.png', '7', 'folder', '100 %d.png', True, pixels(0))))


def test_numbered_images_are_a_video(film, tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f'{number:04}.png'), pixels(number))
    video = Video(str(tmp_path / '%04d.png'))
    assert (video.name, video.frames, video.is_live) == (tmp_path.name, 3, False)
    found = [frame.pixels for frame in video]
    np.testing.assert_array_equal(found, [pixels(number) for number in range(3)])


class Interrupted:
    """Writes frames; Ctrl-C comes while, or after, it writes the third."""

    def __init__(self, writer: cv2.VideoWriter, is_written: bool) -> None:
        self.writer, self.is_written, self.count, self.release = (
            writer,
            is_written,
            0,
            writer.release,
        )

    def write(self, frame: np.ndarray) -> None:
        self.count += 1
        if self.count < 3 or self.is_written:
            self.writer.write(frame)
        if self.count == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize('is_written', [True, False])
def test_ctrl_c_keeps_the_recording_of_a_camera(film, tmp_path, monkeypatch, is_written):
    camera, opened = Video(str(film)), video_files._open
    camera.frames = None
    monkeypatch.setattr(video_files, '_open', lambda *a: Interrupted(opened(*a), is_written))
    found = video_files.write_video(tmp_path / 'seen.mp4', [pixels(0)] * 9, camera)
    assert found == 2 + is_written == len([*Video(str(tmp_path / 'seen.mp4'))])


def test_a_stream_whose_frames_change_their_size(film, tmp_path):
    frames = [pixels(0), pixels(0, 32, 48), pixels(0)]
    assert video_files.write_video(tmp_path / 'seen.mp4', frames, Video(str(film))) == 3
    assert {seen.pixels.shape for seen in Video(str(tmp_path / 'seen.mp4'))} == {(64, 128, 3)}


def test_a_large_photograph_is_predicted_in_tiles(finished, source_config, monkeypatch):
    """As whole, away from where tiles meet; the memory is said to be small."""
    model = mmseg_uvpt.load(source_config, finished / 'iter_4.pth', full_size=True)
    image = cv2.resize(pixels(0, 32, 96), (1500, 600), interpolation=cv2.INTER_CUBIC)
    whole = model(image).classes
    calls = []
    monkeypatch.setattr(tiles, 'SMALL', 1000)
    monkeypatch.setattr(loop, 'free_memory', lambda device: 200 << 20)
    monkeypatch.setattr(loop, 'in_tiles', lambda *a: calls.append(a[2]) or tiles.in_tiles(*a))
    in_tiles = model(image).classes
    assert calls == [(1024, 512)]  # multiples of 256, since this Swin's windows have 8 patches
    assert (in_tiles == whole).mean() > 0.97
    assert len(np.unique(whole)) > 1


def test_memory_that_does_not_suffice(model, monkeypatch):
    def fail(*args, **kwargs):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 GiB')

    monkeypatch.setattr(model.model, 'forward', fail)
    with pytest.raises(UserError, match=r'1 x 64 x 32 pixels at once \(CUDA out.*--amp'):
        model(pixels(0))


def test_only_listed_images_of_a_folder_are_predicted(finished, source_config, photos, tmp_path):
    folder, listed = photos[0].parent, tmp_path / 'list.txt'
    listed.write_text(f'{photos[0].name}\n')
    given = [
        read(source_config),
        str(finished / 'iter_4.pth'),
        [str(folder)],
        str(tmp_path / 'out'),
    ]
    assert predict_images(*given, 'run', listed=str(listed)).images == 1
    listed.write_text(f'{photos[0].name}\ngone.png\n')
    with pytest.raises(UserError, match=r'names gone\.png, which is no image below'):
        predict_images(*given, 'run', listed=str(listed))
    listed.write_text(f'\n{photos[0].name}\n\n')
    assert predict_images(*given, 'run', listed=str(listed)).images == 1
    given[2] = [str(photos[0])]
    with pytest.raises(UserError, match=r'names images of a folder: give that folder'):
        predict_images(*given, 'run', listed=str(listed))
    given[2] = [str(folder)]
    with pytest.raises(UserError, match=r'--list .*none\.txt does not exist'):
        predict_images(*given, 'run', listed=str(tmp_path / 'none.txt'))
