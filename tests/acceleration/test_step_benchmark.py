"""benchmarks/train_step.py counts memory on tensors without data, and reads what a GPU did."""

import importlib
from pathlib import Path

import pytest

from mmseg_uvpt.models.backbones import swin

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'


@pytest.fixture
def train_step(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module('train_step')


@pytest.mark.slow
def test_memory_is_counted_where_nothing_ran_before(train_step):
    model = train_step.make_model('swin-nano')
    swin._windows_of.cache_clear()
    peaks = [
        train_step.memory(model, train_step.FORMS[name], 64)['peak']
        for name in ('float32', 'bfloat16')
    ]
    assert peaks[0] > peaks[1]


def test_memory_on_a_gpu_stands_beside_what_was_counted(train_step):
    counted = {'fixed': 1.0, 'saved': 2.0, 'peak': 4.0, 'tflop': 0.5}
    found = {'plain': {**counted, 'allocated': 8.0}, 'float32': counted, 'c': {'allocated': 2.0}}
    lines = train_step.memory_table(found).splitlines()
    assert lines[2] == '| plain | 1 | 2 | 4 | 1.00 | 0.50 | 8 | 1.000 |'
    assert lines[3] == '| float32 | 1 | 2 | 4 | 1.00 | 0.50 |  |  |'
    assert lines[4] == '| c |  |  |  |  |  | 2 | 0.250 |'


def test_kernels_are_added_up_and_those_beside_each_other_are_busy_once(train_step):
    kernel = {'cat': 'kernel', 'name': 'a', 'ts': 100.0, 'dur': 50.0}
    events = [
        {'cat': 'cuda_runtime', 'name': 'launch', 'ts': 0.0, 'dur': 900.0},
        kernel,
        {**kernel, 'name': 'within', 'ts': 110.0, 'dur': 10.0},
        {**kernel, 'cat': 'gpu_memcpy', 'name': 'copy', 'ts': 140.0, 'dur': 20.0},
        {**kernel, 'ts': 300.0},
        {'ph': 'M', 'name': 'process_name'},
    ]
    work = train_step.summed(events)
    assert work['kernel_seconds'] == pytest.approx(130e-6)
    assert work['busy_seconds'] == pytest.approx(110e-6)
    assert work['kernels'] == 4
    assert work['longest'][0] == {'name': 'a', 'seconds': pytest.approx(100e-6), 'calls': 2}
    shown = train_step.device_table('float32', {'seconds': 1e-3, 'device': work})
    assert 'device busy 0.11 ms of 1 ms' in shown
