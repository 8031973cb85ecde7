"""From the painted picture to the domain's image: surface, air, light and lens, in that order."""

from functools import lru_cache

import cv2
import numpy as np

from mmseg_uvpt.datasets.cityscapes_labels import BY_NAME
from mmseg_uvpt.minicity.camera import Camera
from mmseg_uvpt.minicity.looks import Look

_TILE = 512
# How much of the texture each surface shows, and its grain in tiles a metre.
_ROUGHNESS = {
    'road': (0.8, 0.16),
    'sidewalk': (0.7, 0.2),
    'terrain': (1.5, 0.4),
    'building': (0.55, 0.1),
    'wall': (0.8, 0.2),
    'fence': (0.5, 0.3),
    'vegetation': (2.2, 0.35),
    'car': (0.25, 0.2),
    'truck': (0.3, 0.1),
    'bus': (0.25, 0.1),
    'train': (0.25, 0.1),
    'person': (0.6, 0.8),
    'rider': (0.6, 0.8),
}
_SHINES = 0.35  # linear brightness above which light is spread
_GLOW = 7.0  # deviation of that, pixels
_FLAT = {BY_NAME[name].id for name in ('road', 'sidewalk', 'terrain')}


def photograph(
    picture: np.ndarray,
    label_ids: np.ndarray,
    depth: np.ndarray,
    camera: Camera,
    look: Look,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the image (H, W, 3) uint8 RGB that the look's camera takes of a picture.

    Args:
        picture: (H, W, 3) uint8 RGB colours as painted.
        label_ids: (H, W) uint8 Cityscapes ids, which choose the texture.
        depth: (H, W) float32 metres.
        camera: the camera that painted it.
        look: strengths and ranges.
        rng: draws this frame's values; the number of draws does not depend on the look.
    """
    draws = dict(zip(_DRAWN, rng.random(len(_DRAWN)), strict=True))
    gains = 1 + rng.normal(0, 1, 3) * look.cast_jitter
    shift = rng.integers(0, _TILE, 2)
    noise_seed = int(rng.integers(1 << 31))

    def drawn(name: str) -> float:
        low, high = getattr(look, name)
        return low + (high - low) * draws[name]

    image = picture.astype(np.float32) / 255
    image *= 1 + look.texture * _texture(label_ids, depth, camera, shift)[..., None]
    haze = 1 - np.exp(-depth * np.float32(drawn('haze')))
    image += (np.array(look.haze_colour, np.float32) - image) * haze[..., None]
    image = np.clip(image, 0, 1) ** 2.2
    if look.headlights:
        image *= 1 + np.float32(look.headlights) * _beam(depth, camera)[..., None]
    image *= np.float32(drawn('exposure')) * (np.array(look.cast) * gains).astype(np.float32)
    image *= 1 - np.float32(drawn('vignetting')) * _corners(*depth.shape)[..., None]
    if look.glow:
        shining = np.maximum(image - np.float32(_SHINES), 0)
        image += np.float32(look.glow) * cv2.GaussianBlur(shining, (0, 0), _GLOW)
    image = np.clip(image, 0, 1) ** (1 / 2.2)
    image = (image - 0.5) * np.float32(drawn('contrast')) + 0.5
    grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
    image = grey[..., None] + (image - grey[..., None]) * np.float32(drawn('saturation'))
    if drawn('blur'):
        image = cv2.GaussianBlur(image, (0, 0), drawn('blur'))
    if drawn('noise'):
        grain = np.random.default_rng(noise_seed).standard_normal(image.shape, np.float32)
        image += grain * drawn('noise') * np.sqrt(0.25 + 1.5 * np.clip(image, 0, 1))
    image = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    if look.jpeg:
        low, high = look.jpeg
        quality = round(low + (high - low) * draws['jpeg'])
        _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return image


_DRAWN = ('haze', 'exposure', 'contrast', 'saturation', 'blur', 'noise', 'vignetting', 'jpeg')


@lru_cache(maxsize=1)
def _tile() -> np.ndarray:
    """Return a texture (512, 512) that tiles, mean 0, deviation 1: grain of all sizes."""
    rng = np.random.default_rng(2024)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_TILE), np.fft.rfftfreq(_TILE), indexing='ij'))
    spectrum = (
        np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) / np.maximum(frequency, 0.006) ** 0.7
    )
    tile = np.fft.irfft2(spectrum, s=(_TILE, _TILE))
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


@lru_cache(maxsize=1)
def _roughness() -> np.ndarray:
    """Return strength and grain by label id, (2, 256) float32."""
    table = np.zeros((2, 256), np.float32)
    table[1] = 0.2
    for name, values in _ROUGHNESS.items():
        table[:, BY_NAME[name].id] = values
    return table


def _texture(
    label_ids: np.ndarray, depth: np.ndarray, camera: Camera, shift: np.ndarray
) -> np.ndarray:
    """Return relative brightness (H, W) of surfaces, fixed to them in space."""
    height, width = label_ids.shape
    near = np.minimum(depth, 120.0)
    x = (np.arange(width, dtype=np.float32) + 0.5 - camera.width / 2) * near / camera.focal
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5 - camera.horizon) * near / camera.focal
    flat = np.isin(label_ids, list(_FLAT))
    strength, grain = _roughness()[:, label_ids]
    across = np.where(flat, x, x + near)
    up = np.where(flat, near, y)
    columns = np.mod(across * grain * _TILE / 4 + shift[0], _TILE).astype(np.float32)
    rows = np.mod(up * grain * _TILE / 4 + shift[1], _TILE).astype(np.float32)
    sampled = cv2.remap(_tile(), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return 0.12 * strength * sampled / (1 + near / 60)


def _beam(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Return how much of dipped headlights falls on each pixel, (H, W) float32 in 0..1."""
    height, width = depth.shape
    across = (np.arange(width, dtype=np.float32) - camera.width / 2) / camera.focal
    below = (np.arange(height, dtype=np.float32)[:, None] - camera.horizon) / camera.focal
    cone = np.exp(-((across / 0.35) ** 2)) / (1 + np.exp(-(below + 0.01) / 0.012))
    return (cone * np.exp(-depth / 14) * (1 - np.exp(-((depth / 4) ** 2)))).astype(np.float32)


@lru_cache(maxsize=2)
def _corners(height: int, width: int) -> np.ndarray:
    """Return how far a pixel is towards the corners, 0 to 1, rising with the square."""
    rows, columns = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return ((rows**2 + columns**2) / 2).astype(np.float32)
