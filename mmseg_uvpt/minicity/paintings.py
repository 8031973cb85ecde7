"""Abstract paintings: style images for the demo, where no others may be downloaded."""

from pathlib import Path

import cv2
import numpy as np

from mmseg_uvpt.files import write_png

SIDE = 512
_OCTAVES = (3, 6, 12, 25, 50, 100)  # cells across the image


def paint(seed: int, index: int) -> np.ndarray:
    """Return a painting, (512, 512, 3) uint8, RGB: folded noise through a random palette."""
    rng = np.random.default_rng([seed, index])
    field = np.zeros((SIDE, SIDE), np.float32)
    steepness = rng.uniform(0.4, 0.9)  # of the spectrum: from smooth to rough
    for octave, cells in enumerate(_OCTAVES):
        stretched = cells, max(2, round(cells * rng.uniform(0.3, 1)))
        noise = rng.standard_normal(stretched).astype(np.float32)
        field += steepness**octave * cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    field = (field - field.min()) / np.ptp(field)
    stops = np.sort(rng.uniform(0, 1, 6))
    palette = rng.uniform(0, 255, (6, 3)) * rng.uniform(0.6, 1)
    channels = [np.interp(field, stops, palette[:, channel]) for channel in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def paint_all(folder: Path, count: int, seed: int) -> None:
    """Write paintings ``00.png``, ``01.png``, ... into a folder; those that are there are kept."""
    for index in range(count):
        path = folder / f'{index:02}.png'
        if not path.is_file():
            write_png(path, paint(seed, index))
