"""Time the translation of one label by lookup table against one mask an id.

Both run here, on the same label, and must give the same result.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python benchmarks/label_conversion.py --label '
        '../shared/samples/cityscapes/gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png',
    )
    parser.add_argument('--label', type=Path, help='a Cityscapes labelIds file [2048 x 1024 made]')
    parser.add_argument('--rounds', type=int, default=20, help='the median counts [%(default)s]')
    arguments = parser.parse_args()

    from mmseg_uvpt.datasets.label_encodings import (
        CITYSCAPES_TO_TRAIN_ID,
        read_cityscapes_label,
        to_train_ids,
    )

    lut = CITYSCAPES_TO_TRAIN_ID
    raw = read_cityscapes_label(arguments.label) if arguments.label else _made_label()
    ways = {
        'table': lambda: to_train_ids(raw, lut),
        '19 masks': lambda: _by_masks(raw, lut, [i for i in range(34) if lut[i] != 255]),
        '34 masks': lambda: _by_masks(raw, lut, list(range(34))),
    }
    print(f'label {raw.shape[1]} x {raw.shape[0]}, median of {arguments.rounds} rounds')
    times = {name: _median_seconds(way, arguments.rounds) for name, way in ways.items()}
    for name, way in ways.items():
        assert np.array_equal(way(), ways['table']()), name
        ratio = times[name] / times['table']
        print(f'{name:>9}: {1e3 * times[name]:8.3f} ms, {ratio:6.1f} x the table')


def _made_label() -> np.ndarray:
    """Return a label of patches of 64 x 64 pixels with random ids."""
    patches = np.random.default_rng(0).integers(0, 34, (16, 32), np.uint8)
    return np.kron(patches, np.ones((64, 64), np.uint8))


def _by_masks(raw: np.ndarray, lut: np.ndarray, ids: list[int]) -> np.ndarray:
    """Translate with one comparison an id, the way the common converters do."""
    train_ids = np.full_like(raw, 255)
    for i in ids:
        train_ids[raw == i] = lut[i]
    return train_ids


def _median_seconds(way: Callable[[], np.ndarray], rounds: int) -> float:
    way()  # the first call pays for memory and caches
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        way()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


if __name__ == '__main__':
    main()
