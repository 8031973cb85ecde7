"""Compiling within a limit: what runs is the same, whatever becomes of it."""

import copy
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from mmseg_uvpt.acceleration import compiled_parts
from mmseg_uvpt.acceleration.compiled_parts import CompiledParts
from mmseg_uvpt.processes import run_apart


class Drawing(nn.Module):
    """Draws numbers, counts batches and has a gradient."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.scale = nn.Parameter(torch.ones(2, 1, 1))

    def forward(self, x):
        return self.norm(x + torch.rand(x.shape)) * self.scale

    def twice(self, x):
        return 2 * self.forward(x)


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What the log was told."""
    lines = []
    monkeypatch.setattr(compiled_parts, 'print_log', lambda text, *_: lines.append(text))
    torch._dynamo.reset()
    counters.clear()
    return lines


def assert_runs_alike(backend: str, limit: float | None) -> CompiledParts:
    """Make steps with and without compiling, and compare all that they leave."""
    torch.manual_seed(1)
    images = torch.randn(3, 2, 2, 8, 8)
    found = []
    for compiles in (False, True):
        model = copy.deepcopy(Drawing().train())
        parts = [model.forward, model.twice]
        run = CompiledParts(model, parts, backend, limit)
        torch.manual_seed(0)
        for image in images:
            outputs = run(image) if compiles else [part(image) for part in parts]
            sum(y.square().sum() for y in outputs).backward()
        found.append([*outputs, model.scale.grad, *model.buffers(), torch.rand(3)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    return run


def fails_at_the_second(graph, inputs):
    if counters['test']['compiled']:
        raise OSError('no space left\nfor code')
    counters['test']['compiled'] += 1
    return graph


def test_compiled(said):
    assert_runs_alike('eager', 10)
    assert counters['stats']['unique_graphs'] == 2
    assert said[0] == 'compiling for images of 8 x 8 by eager, at most 10 s'
    assert said[1].startswith('compiled in ')
    assert len(said) == 2


@pytest.mark.parametrize(
    ('backend', 'limit', 'reason'),
    [
        ('nonsense', None, 'InvalidBackend: Invalid backend'),
        (fails_at_the_second, 60, 'OSError: no space left'),
        ('eager', 1e-9, 'compiling takes longer than uvpt.compile_limit=1e-09 s'),
    ],
)
def test_given_up(said, backend, limit, reason):
    """With one attempt, also where one part had been compiled, and run, before another failed."""
    assert_runs_alike(backend, limit)
    assert len(said) == 2
    assert said[1].startswith(f'--compile: it goes on uncompiled: {reason}')
    assert '\n' not in said[1]


def test_nothing_is_compiled_later_than_that(said):
    """Not even where the code depends on what has changed since: then there is no limit."""
    run = assert_runs_alike('eager', 10)
    run._model.norm.eval()
    x = torch.randn(2, 2, 8, 8)
    torch.manual_seed(0)
    expected = [part(x) for part in run._parts]
    torch.manual_seed(0)
    torch.testing.assert_close(run(x), expected)
    assert counters['stats']['unique_graphs'] <= 3
    assert said[2].endswith('uncompiled: RuntimeError: what was compiled does not fit any more')
    run(torch.randn(2, 2, 4, 4))
    assert len(said) == 3


def test_another_size_is_compiled_while_there_is_time(said):
    run = assert_runs_alike('eager', 60)
    run(torch.randn(2, 2, 4, 4))
    assert counters['stats']['unique_graphs'] == 4
    assert run._left < 60
    run._left = 0
    run(torch.randn(2, 2, 6, 6))
    assert counters['stats']['unique_graphs'] == 4


@pytest.mark.slow
def test_code_is_taken_over_from_the_process_that_compiled_it(said, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))
    assert_runs_alike('inductor', 600)
    assert said[1].startswith('compiled in ')
    assert counters['inductor']['fxgraph_cache_hit'] >= 4  # each part's forward and backward
    assert not counters['inductor']['fxgraph_cache_miss']


def test_a_process_apart():
    """Its end is told from its failure, and it computes with threads, as this one has."""
    parent = os.getpid()
    changed = []
    torch.randn(300, 300) @ torch.randn(300, 300)

    def run():
        changed.append(1)
        assert os.getpid() != parent
        w = torch.randn(300, 300, requires_grad=True)
        (w @ w).sum().backward()

    assert run_apart(run, 60) is None
    assert not changed
    with pytest.raises(RuntimeError, match='no compiler'):
        run_apart(lambda: 'no compiler', 60)
    with pytest.raises(RuntimeError, match='its process ended with status -9'):
        run_apart(lambda: os.kill(os.getpid(), 9), 60)


def test_a_process_that_takes_too_long_ends_with_what_it_started(tmp_path):
    """Though it would not listen."""
    file = tmp_path / 'pids'
    stubborn = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)'

    def run():
        ids = [subprocess.Popen([sys.executable, '-c', stubborn]).pid for _ in range(2)]
        file.write_text(' '.join(map(str, [os.getpid(), *ids])))
        time.sleep(60)

    start = time.monotonic()
    with pytest.raises(TimeoutError):
        run_apart(run, 2)
    assert time.monotonic() - start < 10
    ids = file.read_text().split()
    assert len(ids) == 3
    time.sleep(0.1)
    for number in ids:
        stat = Path(f'/proc/{number}/stat')
        assert not stat.exists() or ') Z ' in stat.read_text()
