"""benchmarks/data.py compares ways that give the same results."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from raw_labels import write_grey, write_rgb

from mmseg_uvpt.datasets.image_cache import ImageCache

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture
def data_benchmark(monkeypatch):
    init_default_scope('mmseg')
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module('data')


@pytest.fixture
def root(data_benchmark, tmp_path):
    """Data sets of two small frames."""
    frames = [tmp_path / f'frame{i}.png' for i in range(2)]
    for i, frame in enumerate(frames):
        write_rgb(frame, np.random.default_rng(i).integers(0, 256, (40, 60, 3)))
    data_benchmark.make_trees(tmp_path, frames)
    return tmp_path


@pytest.mark.parametrize('recipe', ['adaptation', 'source training'])
def test_samples_are_equal(data_benchmark, root, recipe):
    rows = data_benchmark.measure_sample(recipe, root, 1, 1e9)
    assert rows[-1]['fast_s'] == sum(row['fast_s'] for row in rows[:-1])
    assert 'RandomFlip' in data_benchmark.table(rows, 'part')


def test_different_samples_are_noticed(data_benchmark, root, monkeypatch):
    transform = ImageCache.transform

    def spoilt(self, results):
        results = transform(self, results)
        return {**results, 'img': results['img'] ^ 1}

    monkeypatch.setattr(ImageCache, 'transform', spoilt)
    with pytest.raises(AssertionError, match='the two ways differ'):
        data_benchmark.measure_sample('adaptation', root, 1, 1e9)


def test_loader_is_counted(data_benchmark, root):
    loader = data_benchmark.loaders('adaptation', root)['fast']
    assert min(data_benchmark.images_per_second(loader, 0, 0.01)) > 0


def test_conversions_are_equal(data_benchmark, tmp_path):
    write_grey(tmp_path / 'ids.png', data_benchmark.made_label(34, (40, 60)))
    rows = data_benchmark.measure_conversion(tmp_path / 'ids.png', tmp_path, 1, 1e9)
    assert rows[0]['part'] == 'translate'
