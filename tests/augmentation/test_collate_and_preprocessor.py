"""A batch under each augmentation: its labels, its range and channels, and what is asked for."""

import importlib.util

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.augmentation import corruptions, prerequisites, style_images
from mmseg_uvpt.augmentation.augmentations import AUGMENTATIONS, CORRUPTIONS
from mmseg_uvpt.augmentation.augmenting_preprocessor import AugmentingPreprocessor
from mmseg_uvpt.augmentation.collate import augmented_collate
from mmseg_uvpt.augmentation.prerequisites import FILES
from mmseg_uvpt.errors import UserError

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
HAS_IMAUG = importlib.util.find_spec('imgaug') is not None


def preprocessor(**more) -> AugmentingPreprocessor:
    return AugmentingPreprocessor(
        mean=MEAN, std=STD, bgr_to_rgb=True, pad_val=0, seg_pad_val=255, size_divisor=1, **more
    )


def batch(sizes=((80, 96), (80, 96))) -> list[dict]:
    """Return packed samples: a smooth image, blue where the label is 1."""
    samples = []
    for height, width in sizes:
        image = torch.full((3, height, width), 60, dtype=torch.uint8)
        label = torch.zeros(1, height, width, dtype=torch.long)
        label[:, :, : width // 2] = 1
        image[0, :, : width // 2] = 200  # BGR
        sample = SegDataSample(metainfo={'img_shape': (height, width)})
        sample.gt_sem_seg = PixelData(data=label)
        samples.append({'inputs': image, 'data_samples': sample})
    return samples


@pytest.fixture
def styles(tmp_path):
    folder = tmp_path / 'style'
    folder.mkdir()
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / 'a.png'), rng.integers(0, 255, (30, 50, 3), np.uint8))
    cv2.imwrite(str(folder / 'b.jpg'), rng.integers(0, 255, (70, 20, 3), np.uint8))
    return folder


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Write files of weights as they are published, filled at random."""
    from mmseg_uvpt.augmentation.adain import decoder, encoder
    from mmseg_uvpt.augmentation.style_randomisation import StylePredictor, StyleTransfer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('weights')
    whole = {**encoder().state_dict(), '51.weight': torch.zeros(2)}  # more than is used
    contents = {
        'adain_encoder': whole,
        'adain_decoder': decoder().state_dict(),
        'style_transfer': {
            'state_dict_ghiasi': {**StyleTransfer().state_dict(), 'x': whole['0.bias']}
        },
        'style_predictor': {'state_dict_stylepredictor': StylePredictor().state_dict()},
        'style_embeddings': {
            'pbn_embedding_mean': torch.zeros(1, 100),
            'pbn_embedding_covariance': torch.eye(100),
            'imagenet_embedding_mean': torch.zeros(100),
        },
    }
    paths = {part: str(folder / f'{part}.pth') for part in contents}
    for part, tensors in contents.items():
        torch.save(tensors, paths[part])
    return paths


@pytest.fixture
def small_styles(monkeypatch):
    """Spare the networks style images of the published sizes."""
    monkeypatch.setattr(style_images, 'SIDE', 64)


def augmented(name, styles, weights, samples=None):
    np.random.seed(0)  # noqa: NPY002
    collated = augmented_collate(samples or batch(), [name], str(styles))
    return preprocessor(weights=weights)(collated, training=True)


@pytest.mark.usefixtures('small_styles')
@pytest.mark.parametrize('name', AUGMENTATIONS)
def test_range_channels_and_labels(name, styles, weights):
    if name in CORRUPTIONS and not HAS_IMAUG:
        pytest.skip('imaug is not installed')
    data = augmented(name, styles, weights)
    assert {s.metainfo['augmentation'] for s in data['data_samples']} == {name}
    for sample, before in zip(data['data_samples'], batch(), strict=True):
        assert torch.equal(sample.gt_sem_seg.data, before['data_samples'].gt_sem_seg.data)
    std, mean = (torch.tensor(x).view(3, 1, 1) for x in (STD, MEAN))
    images = data['inputs'] * std + mean  # RGB
    assert images.shape == (2, 3, 80, 96)
    if name in (*CORRUPTIONS, 'style_randomisation'):  # others may leave it, and are not cut to it
        assert images.min() > -0.01
        assert images.max() < 255.01
    plain = torch.stack([s['inputs'] for s in batch()]).float()[:, [2, 1, 0]]
    assert (images - plain).abs().mean() > 0.1
    if name.startswith('fda') or name in ('snow', 'cartoon'):  # the others repaint at random here
        left, right = images[:, 2, :, :40].mean(), images[:, 2, :, -40:].mean()
        assert left > right + 50  # blue is still blue, on its side


def test_values_out_of_the_range_stay(monkeypatch):
    part = preprocessor()
    monkeypatch.setattr(part, 'augment', lambda name, images, styles: 3 * images - 1)
    data = part(augmented_collate(batch(), ['fda_random']), training=True)
    std, mean = (torch.tensor(x).view(3, 1, 1) for x in (STD, MEAN))
    plain = torch.stack([s['inputs'] for s in batch()]).float()[:, [2, 1, 0]]
    torch.testing.assert_close(data['inputs'] * std + mean, 3 * plain - 255, rtol=0, atol=1e-3)
    assert plain.max() == 200  # becomes 345, and 60 becomes -75


def test_random_targets_are_real_numbers_from_1_to_255(monkeypatch):
    targets = []

    def note(image, target, beta):
        targets.append(255 * target)
        return image

    monkeypatch.setattr('mmseg_uvpt.augmentation.augmenting_preprocessor.exchange_amplitude', note)
    torch.manual_seed(0)
    preprocessor()(augmented_collate(batch(), ['fda_random']), training=True)
    (noise,) = targets
    assert noise.shape == (2, 3, 80, 96)
    assert 1 <= noise.min() < 1.1
    assert 254.9 < noise.max() <= 255
    assert (noise - noise.round()).abs().mean() == pytest.approx(0.25, abs=0.01)
    assert noise.mean() == pytest.approx(128, abs=1)


def test_severities_are_1_and_2(monkeypatch):
    seen = []

    def note(name, image, seed, severity):
        seen.append(severity)
        return image

    monkeypatch.setattr('mmseg_uvpt.augmentation.collate.corrupt', note)
    np.random.seed(0)  # noqa: NPY002
    for _ in range(40):
        augmented_collate(batch(), ['snow', 'frost'])
    assert set(seen) == {1, 2}
    assert 25 < seen.count(1) < 55  # of eighty


@pytest.mark.usefixtures('small_styles')
def test_running_statistics_of_the_style_predictor_count_for_nothing(styles, weights, tmp_path):
    contents = torch.load(weights['style_predictor'], weights_only=True)
    for name, tensor in contents['state_dict_stylepredictor'].items():
        if name.endswith('running_mean'):
            tensor += 100
    torch.save(contents, tmp_path / 'other.pth')
    found = []
    for path in (weights['style_predictor'], str(tmp_path / 'other.pth')):
        torch.manual_seed(0)
        paths = {**weights, 'style_predictor': path}
        found.append(augmented('style_randomisation', styles, paths)['inputs'])
    assert torch.equal(*found)


def test_without_an_augmentation_it_is_mmsegs():
    from mmseg.models import SegDataPreProcessor

    plain = SegDataPreProcessor(
        mean=MEAN, std=STD, bgr_to_rgb=True, pad_val=0, seg_pad_val=255, size_divisor=1
    )
    for training in (False, True):
        found, expected = (
            part(
                {
                    'inputs': [s['inputs'] for s in batch()],
                    'data_samples': [s['data_samples'] for s in batch()],
                },
                training,
            )
            for part in (preprocessor(), plain)
        )
        assert torch.equal(torch.as_tensor(found['inputs']), torch.as_tensor(expected['inputs']))


def test_images_of_different_sizes_are_padded_after_the_augmentation(styles, weights):
    samples = batch(((80, 96), (76, 90)))
    np.random.seed(0)  # noqa: NPY002
    collated = augmented_collate(samples, ['fda_random'], None)
    part = AugmentingPreprocessor(
        mean=MEAN, std=STD, bgr_to_rgb=True, size=(80, 96), pad_val=0, seg_pad_val=255
    )
    data = part(collated, training=True)
    assert data['inputs'].shape == (2, 3, 80, 96)
    assert (data['inputs'][1, :, 76:] == 0).all()
    assert (data['data_samples'][1].gt_sem_seg.data[:, 76:] == 255).all()


def test_only_the_augmentation_drawn_is_computed(styles, weights):
    """A preprocessor without any weights serves those that need none."""
    for name in ('fda_random', 'fda_style'):
        part = preprocessor()
        part(augmented_collate(batch(), [name], str(styles)), training=True)
        assert part._networks == {}


@pytest.mark.usefixtures('small_styles')
def test_networks_are_no_part_of_the_model(styles, weights):
    part = preprocessor(weights=weights)
    for name in ('adain', 'style_randomisation'):
        part(augmented_collate(batch(), [name], str(styles)), training=True)
    assert set(part._networks) == set(FILES)
    assert not part.state_dict()
    assert not list(part.parameters())


def test_draws_follow_the_workers_seed_and_reach_all():
    names = ['fda_random', 'adain_']
    with pytest.raises(ValueError, match='adain_'):
        augmented_collate(batch(), names)
    drawn = []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002
        drawn.append([_drawn(['fda_random', 'style_randomisation']) for _ in range(12)])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {'fda_random', 'style_randomisation'}


def _drawn(names) -> str:
    return augmented_collate(batch(), names)['data_samples'][0].metainfo['augmentation']


@pytest.mark.skipif(not HAS_IMAUG, reason='imaug is not installed')
@pytest.mark.parametrize('name', CORRUPTIONS)
def test_corruptions_are_imaugs(name):
    from imgaug import augmenters

    image = np.random.default_rng(0).integers(0, 255, (64, 80, 3)).astype(np.uint8)
    found = corruptions.corrupt(name, image, seed=5, severity=2)
    make = {
        'snow': lambda: augmenters.imgcorruptlike.Snow(severity=2, seed=5),
        'frost': lambda: augmenters.imgcorruptlike.Frost(severity=2, seed=5),
        'cartoon': lambda: augmenters.Cartoon(seed=5),
    }[name]
    assert np.array_equal(found, make()(images=image[None])[0])
    assert not np.array_equal(found, image)


def config(augmentations, styles, weights) -> Config:
    collate = {
        'type': 'augmented_collate',
        'augmentations': augmentations,
        'style_dir': str(styles),
    }
    return Config(
        {
            'train_dataloader': {'collate_fn': collate},
            'model': {'data_preprocessor': {'type': 'AugmentingPreprocessor', 'weights': weights}},
        }
    )


def test_what_is_there_passes(styles, weights):
    prerequisites.check(config(['adain', 'style_randomisation', 'fda_style'], styles, weights))
    prerequisites.check(Config({'train_dataloader': {}}))


@pytest.mark.parametrize('name', ['adain', 'style_randomisation'])
def test_a_missing_file_is_named_with_the_way_on(name, styles, weights, tmp_path):
    for part in FILES[name]:
        paths = {**weights, part: str(tmp_path / 'gone.pth')}
        with pytest.raises(UserError, match=rf'{name} needs the file .*gone.pth.*README') as error:
            prerequisites.check(config([name], styles, paths))
        assert f'leave {name} out of `augmentations`' in str(error.value)
        prerequisites.check(config(['fda_random'], styles, paths))


def test_a_file_that_does_not_fit_is_refused(styles, weights, tmp_path):
    torch.save({'0.weight': torch.zeros(1)}, tmp_path / 'other.pth')
    paths = {**weights, 'adain_decoder': str(tmp_path / 'other.pth')}
    with pytest.raises(UserError, match=r'other.pth does not fit as adain_decoder.*missing'):
        augmented('adain', styles, paths)


def test_style_folders_that_do_not_serve(tmp_path, styles):
    with pytest.raises(UserError, match='gone is no folder'):
        style_images.find(tmp_path / 'gone')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=r'empty holds no \.jpg'):
        style_images.find(tmp_path / 'empty')
    with pytest.raises(UserError, match='`style_dir`'):
        style_images.find(None)
    (styles / 'folder.png').mkdir()
    (styles / '._a.jpg').write_bytes(b'of a file system')
    style_images.check(styles)
    (styles / 'broken.png').write_bytes(b'no image')
    with pytest.raises(UserError, match=r'1 files of .* cannot be read.*broken.png'):
        style_images.check(styles)
    with pytest.raises(UserError, match=r'broken.png is not a whole PNG'):
        style_images.read(styles / 'broken.png', square=True)


def test_a_line_of_pixels_is_no_style_image(styles):
    Image.new('RGB', (60_000, 1)).save(styles / 'line.png')
    assert style_images.read(styles / 'line.png', square=True).shape == (512, 512, 3)
    with pytest.raises(UserError, match=r'line\.png claims to be 30720000 x 512 pixels'):
        style_images.read(styles / 'line.png', square=False)


def test_style_images_have_the_published_sizes(styles):
    wide, tall = style_images.find(styles)
    assert style_images.read(wide, square=False).shape == (512, 853, 3)
    assert style_images.read(tall, square=False).shape == (1792, 512, 3)
    assert style_images.read(tall, square=True).shape == (512, 512, 3)


def test_style_images_are_resized_with_antialiasing(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1100, 1300, 3)).astype(np.uint8)  # OpenCV's order
    cv2.imwrite(str(tmp_path / 'noise.png'), image)
    pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    for square, mode, size in ((True, 'bicubic', (512, 512)), (False, 'bilinear', (512, 605))):
        found = style_images.read(tmp_path / 'noise.png', square)
        expected = F.interpolate(pixels, size, mode=mode, antialias=True).clamp(0, 255)
        expected = expected[0].permute(1, 2, 0).numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < 0.5  # Pillow rounds, and cuts to 0..255, twice
        without = F.interpolate(pixels, size, mode=mode)[0].permute(1, 2, 0).numpy()
        assert np.abs(found - without).mean() > 10


def test_style_images_for_crops_of_other_sizes_too(monkeypatch):
    targets = []

    def note(image, target, beta):
        targets.append(target)
        return image

    monkeypatch.setattr('mmseg_uvpt.augmentation.augmenting_preprocessor.exchange_amplitude', note)
    chequered = np.indices((512, 512)).sum(0) % 2 * 255
    style = PixelData(data=torch.from_numpy(chequered)[None].repeat(3, 1, 1).byte())
    preprocessor().augment('fda_style', torch.zeros(1, 3, 128, 96), [style])
    (target,) = targets
    assert target.shape == (1, 3, 128, 96)
    assert (target[..., 4:-4, 4:-4] - 0.5).abs().max() < 0.02


def test_without_imaug_the_way_on_is_told(styles, weights, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'imgaug', None)
    corruptions.require.cache_clear()
    with pytest.raises(UserError, match=r'pip install .*imaug.*leave them out of `augmentations`'):
        prerequisites.check(config(['snow'], styles, weights))
    corruptions.require.cache_clear()


def test_a_preprocessor_that_would_not_augment_is_refused(styles, weights):
    cfg = config(['fda_random'], styles, weights)
    cfg.model.data_preprocessor.type = 'SegDataPreProcessor'
    with pytest.raises(UserError, match='SegDataPreProcessor would not apply them'):
        prerequisites.check(cfg)


@pytest.mark.usefixtures('small_styles')
@pytest.mark.parametrize('name', ['adain', 'style_randomisation', 'fda_style'])
def test_networks_and_styles_see_rgb_in_0_to_1(name, styles, weights, monkeypatch):
    seen = []
    part = preprocessor(weights=weights)
    augment = part.augment
    monkeypatch.setattr(part, 'augment', lambda *given: seen.append(given[1:]) or augment(*given))
    collated = augmented_collate(batch(), [name], str(styles))
    part(collated, training=True)
    ((images, of_styles),) = seen
    assert images.shape == (2, 3, 80, 96)
    left, right = images[:, :, :, :48], images[:, :, :, 48:]
    assert torch.allclose(left[:, 2], torch.tensor(200 / 255))  # blue is the last channel
    assert torch.allclose(left[:, :2], torch.tensor(60 / 255))
    assert torch.allclose(right, torch.tensor(60 / 255))
    for style in of_styles:
        if style is not None:
            assert style.data.dtype == torch.uint8  # RGB in 0..255, as style_images.read gives it


def test_style_images_are_read_as_rgb(tmp_path):
    blue = np.zeros((20, 20, 3), np.uint8)
    blue[..., 0] = 255  # BGR
    cv2.imwrite(str(tmp_path / 'blue.png'), blue)
    for square in (True, False):
        assert style_images.read(tmp_path / 'blue.png', square)[5, 5].tolist() == [0, 0, 255]


def test_unknown_names_are_refused(styles, weights):
    cfg = config(['snowfall'], styles, weights)
    with pytest.raises(UserError, match=r'snowfall.*list at least one of'):
        prerequisites.check(cfg)
    for names in ([], None, 'fda_random'):
        with pytest.raises(UserError, match='list at least one of'):
            prerequisites.check(config(names, styles, weights))
