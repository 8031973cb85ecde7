"""Each augmentation against an independent computation, and against the published numbers."""

import numpy as np
import pytest
import torch

from mmseg_uvpt.augmentation.adain import AdaIN, adapt, encoder
from mmseg_uvpt.augmentation.fda import exchange_amplitude
from mmseg_uvpt.augmentation.style_randomisation import (
    EMBEDDING,
    StylePredictor,
    StyleRandomisation,
    StyleTransfer,
)


def relative(found, expected) -> float:
    found, expected = (np.asarray(x, np.float64) for x in (found.detach(), expected))
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.fixture(scope='module')
def published(shared_parity, parity_weights):
    """Return inputs and results, and a function that fills a module by released names.

    The numbers were made in eval mode, that is with the style predictor's running statistics. The
    published pretraining has it in train mode, and so has ours: see the test of own statistics.
    """

    def fill(module, name):
        expected = module.state_dict()
        lines = (shared_parity / f'keys_{name}.txt').read_text().splitlines()
        for key, shape in (line.split() for line in lines):
            size = tuple(int(n) for n in shape.split('x'))
            if key in expected:
                tensor = torch.from_numpy(
                    np.asarray(parity_weights.tensor_for(f'{name}.{key}', size))
                )
                expected[key].copy_(tensor.reshape(expected[key].shape))
        return module.eval()

    arrays = np.load(shared_parity / 'source_gta.npz')
    return {key: torch.from_numpy(arrays[key]) for key in arrays.files}, fill


@torch.no_grad()
def test_adain_gives_the_published_numbers(published):
    numbers, fill = published
    network = AdaIN(strength=0.3)
    fill(network.encoder, 'adain_vgg')
    fill(network.decoder, 'adain_decoder')
    assert relative(network(numbers['content'], numbers['style']), numbers['adain_0.3']) < 1e-5


@torch.no_grad()
def test_style_networks_give_the_published_numbers(published):
    numbers, fill = published
    transfer = fill(StyleTransfer(), 'style_transfer')
    predictor = fill(StylePredictor(), 'style_predictor')
    restyled = transfer(numbers['content'], numbers['embedding'])
    assert relative(restyled, numbers['style_transfer']) < 1e-5
    assert relative(predictor(numbers['content']), numbers['style_predictor']) < 1e-5


def test_fda_gives_the_published_numbers(published):
    numbers, _ = published
    found = exchange_amplitude(255 * numbers['content'][0], 255 * numbers['style'][0], beta=0.05)
    assert relative(found, numbers['fda_0.05']) < 1e-5


@pytest.mark.parametrize('size', [(40, 60), (41, 33)])
def test_fda_exchanges_the_low_amplitudes_alone(size):
    rng = np.random.default_rng(0)
    image, target = rng.uniform(0, 1, (2, 3, *size))
    beta = 0.1
    found = exchange_amplitude(torch.from_numpy(image), torch.from_numpy(target), beta).numpy()
    half = int(np.floor(beta * min(size)))
    window = np.zeros(size, bool)
    middle = size[0] // 2, size[1] // 2  # of a shifted spectrum: frequency 0
    window[tuple(slice(m - half, m + half + 1) for m in middle)] = True
    assert window.sum() == (2 * half + 1) ** 2
    spectra = (np.fft.fftshift(np.fft.fft2(x), axes=(-2, -1)) for x in (image, target, found))
    of_image, of_target, of_found = spectra
    phase = np.angle(of_found * np.conj(of_image))
    assert np.abs(phase).max() < 1e-3
    np.testing.assert_allclose(
        np.abs(of_found)[:, ~window], np.abs(of_image)[:, ~window], rtol=1e-3
    )
    np.testing.assert_allclose(np.abs(of_found)[:, window], np.abs(of_target)[:, window], rtol=1e-3)


def test_fda_of_an_image_with_itself_changes_nothing():
    image = torch.rand(2, 3, 20, 30)
    torch.testing.assert_close(exchange_amplitude(image, image, 0.2), image, rtol=0, atol=1e-5)


def test_fda_refuses_other_sizes():
    with pytest.raises(ValueError, match=r'image \(3, 4, 4\) and target \(3, 4, 5\) differ'):
        exchange_amplitude(torch.rand(3, 4, 4), torch.rand(3, 4, 5))


def test_adain_takes_the_statistics_of_the_style():
    rng = np.random.default_rng(0)
    content, style = rng.normal(1, 3, (2, 5, 8, 9)), rng.normal(-2, 0.5, (2, 5, 6, 7))
    found = adapt(torch.from_numpy(content), torch.from_numpy(style), strength=1.0).numpy()
    for statistic in (np.mean, lambda x, axis: np.sqrt(np.var(x, axis=axis, ddof=1) + 1e-5)):
        np.testing.assert_allclose(
            statistic(found, axis=(2, 3)), statistic(style, axis=(2, 3)), rtol=1e-4
        )
    none = adapt(torch.from_numpy(content), torch.from_numpy(style), strength=0.0)
    np.testing.assert_array_equal(none.numpy(), content)


def test_adain_keeps_any_size():
    network = AdaIN().eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 37, 50), torch.rand(1, 3, 64, 40)).shape == (1, 3, 37, 50)
        assert encoder()(torch.rand(1, 3, 37, 50)).shape == (1, 512, 5, 7)


@torch.no_grad()
def test_style_randomisation_at_strength_0_is_the_networks_own_reconstruction():
    torch.manual_seed(0)
    network = StyleRandomisation(strength=0.0)
    image = torch.rand(2, 3, 96, 90)
    styles = torch.cat([network.predictor(image[:1]), network.predictor(image[1:])])
    own = network.transfer(image, styles)[:, :, :96, :90]
    assert torch.equal(network(image, network.sample(2)), own)
    network.strength = 1.0
    style = network.sample(2)
    assert torch.equal(network(image, style), network.transfer(image, style)[:, :, :96, :90])


@torch.no_grad()
def test_a_style_is_predicted_by_the_images_own_statistics():
    torch.manual_seed(0)
    predictor = StylePredictor()
    plain = StylePredictor()  # with torch's batch norms, which also note what they see
    for part in plain.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.track_running_stats = True
    plain.load_state_dict(predictor.state_dict())
    image = torch.rand(1, 3, 96, 90)
    before = {name: tensor.clone() for name, tensor in predictor.state_dict().items()}
    assert torch.equal(predictor(image), plain(image))
    after = predictor.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    noted = plain.state_dict()
    assert not all(torch.equal(tensor, noted[name]) for name, tensor in before.items())
    assert relative(predictor(image), predictor.eval()(image)) > 0.1


def test_styles_are_drawn_from_the_gaussian():
    network = StyleRandomisation()
    mixing = torch.randn(EMBEDDING, EMBEDDING, generator=torch.Generator().manual_seed(0)) / 10
    network.covariance.copy_(mixing @ mixing.T)
    network.mean.copy_(torch.linspace(-3, 3, EMBEDDING))
    drawn = network.sample(20_000, torch.Generator().manual_seed(1)).double()
    assert (drawn.mean(0) - network.mean).abs().max() < 0.05
    covariance = torch.cov(drawn.T)
    assert (covariance - network.covariance).norm() < 0.1 * network.covariance.norm()
