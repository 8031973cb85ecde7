"""benchmarks/data.py compares ways that give the same results."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from raw_labels import write_grey, write_rgb

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture
def benchmark(monkeypatch):
    init_default_scope('mmseg')
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module('data')


@pytest.fixture
def root(benchmark, tmp_path):
    """Data sets of two small frames."""
    frames = [tmp_path / f'frame{i}.png' for i in range(2)]
    for i, frame in enumerate(frames):
        write_rgb(frame, np.random.default_rng(i).integers(0, 256, (40, 60, 3)))
    benchmark.make_trees(tmp_path, frames)
    return tmp_path


@pytest.mark.parametrize('recipe', ['adaptation', 'source training'])
def test_samples_are_equal(benchmark, root, recipe):
    rows = benchmark.measure_sample(recipe, root, 1, 1e9)
    assert rows[-1]['fast_s'] == sum(row['fast_s'] for row in rows[:-1])
    assert 'RandomFlip' in benchmark.table(rows, 'part')


def test_different_samples_are_noticed(benchmark, root, monkeypatch):
    monkeypatch.setattr('mmseg_uvpt.datasets.transforms._FLIPS', {'horizontal': 0})
    with pytest.raises(AssertionError, match='the two ways differ'):
        benchmark.measure_sample('adaptation', root, 1, 1e9)


def test_loader_is_counted(benchmark, root):
    loader = benchmark.loaders('adaptation', root)['fast']
    assert min(benchmark.images_per_second(loader, 0, 0.01)) > 0


def test_conversions_are_equal(benchmark, tmp_path):
    write_grey(tmp_path / 'ids.png', benchmark.made_label(34, (40, 60)))
    rows = benchmark.measure_conversion(tmp_path / 'ids.png', tmp_path, 1, 1e9)
    assert rows[0]['part'] == 'translate'
