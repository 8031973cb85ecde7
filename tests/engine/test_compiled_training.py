"""``train.py --compile`` on the CPU: the numbers of a training without it, whatever happens."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch._dynamo.utils import counters

from mmseg_uvpt.acceleration.compile import _why_not
from mmseg_uvpt.acceleration.compiled_parts import _remove_torn
from mmseg_uvpt.engine.config import resolve
from mmseg_uvpt.engine.scripts import generate_pseudo_label, train
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.segmentors.uni_uvpt import UniUVPT

REPOSITORY = Path(__file__).resolve().parents[2]
ITERATIONS = ['train_cfg.max_iters=3', 'default_hooks.checkpoint.interval=3']


@pytest.fixture(scope='module')
def labelled(miniature, source_config, finished) -> list[str]:
    """The arguments of an adaptation whose pseudo labels are there."""
    labels = str(miniature / 'labels')
    data = ['--data-root', str(miniature / 'data')]
    checkpoint = str(finished / 'iter_4.pth')
    found = ['--checkpoint', checkpoint, '--pseudo_label_dir', labels]
    generate_pseudo_label.main(['--config', str(source_config), *found, *data])
    return ['--source-checkpoint', checkpoint, '--pseudo-label-dir', labels, *data]


@pytest.fixture(scope='module')
def adapt(adaptation_config, labelled, tmp_path_factory):
    """Train for three iterations; return the work folder."""

    def start(*options: str, folder: Path | None = None, more: tuple[str, ...] = ()) -> Path:
        folder = folder or tmp_path_factory.mktemp('adapted') / 'run'
        given = [*labelled, '--work-dir', str(folder), '--no-validate', *options]
        train.main([str(adaptation_config), *given, '--cfg-options', *ITERATIONS, *more])
        return folder

    return start


@pytest.fixture(scope='module')
def plain(adapt) -> Path:
    """Work folder of the training without ``--compile``."""
    return adapt()


@pytest.fixture
def no_compiler():
    with torch._inductor.config.patch({'cpp.cxx': ('/no/compiler',)}):
        yield


def weights(folder: Path) -> dict:
    checkpoint = torch.load(folder / 'iter_3.pth', weights_only=True)
    moments = checkpoint['optimizer']['state']
    return {
        **checkpoint['state_dict'],
        **{f'{n} {key}': value for n, state in moments.items() for key, value in state.items()},
    }


def assert_alike(folder: Path, other: Path, **tolerance: float) -> None:
    torch.testing.assert_close(weights(folder), weights(other), **tolerance)


def log(folder: Path) -> str:
    return next(folder.rglob('*.log')).read_text()


def children() -> str:
    """Return the process ids of this process's children that have not ended."""
    tasks = Path('/proc/self/task').glob('*/children')
    ids = [number for task in tasks for number in task.read_text().split()]
    return ' '.join(i for i in ids if ') Z ' not in Path(f'/proc/{i}/stat').read_text())


@pytest.mark.parametrize(
    ('amp', 'scales'),
    [
        ((), (1.0,)),
        ((), (1.0, 0.5, 2.0)),
        (('--amp',), (1.0, 0.5, 2.0)),
    ],
    ids=['float32, one view', 'float32', 'bfloat16'],
)
@pytest.mark.slow
def test_views_are_one_graph_each(adapt, amp, scales):
    """Without a break, traced once, with the same numbers but for rounding."""
    torch._dynamo.reset()
    counters.clear()
    views = f'model.view_scales={[*scales]}'.replace(' ', '')
    options = ('uvpt.compile_backend=eager', 'uvpt.compile_limit=None', views)
    folder = adapt('--compile', *amp, more=options)
    assert counters['stats']['unique_graphs'] == len(scales)
    assert not counters['graph_break']
    assert 'compiling for images of 32 x 32 by eager\n' in log(folder)
    assert 'compiled in' in log(folder)
    assert 'uncompiled' not in log(folder)
    said = Config.fromfile(folder / 'config.py')
    assert (said.uvpt.compile, said.uvpt.compile_backend) == (True, 'eager')
    assert said.uvpt.compile_limit is None
    assert 'compile' not in said
    tolerance = {'rtol': 2e-2, 'atol': 2e-3} if amp else {'rtol': 1e-3, 'atol': 1e-5}
    assert_alike(folder, adapt(*amp, more=(views,)), **tolerance)


@pytest.mark.parametrize(
    ('option', 'reason'),
    [
        ('compile_backend=nonsense', 'Invalid backend'),
        pytest.param('compile_limit=120', '/no/compiler', marks=pytest.mark.slow),
        ('compile_limit=1', 'compiling takes longer than uvpt.compile_limit=1 s\n'),
    ],
)
def test_a_compiler_that_fails_or_is_slow_changes_nothing(
    adapt, plain, option, reason, no_compiler, tmp_path, monkeypatch
):
    """To the bit: neither random numbers nor batch norms nor gradients have seen the attempt."""
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path / 'cache'))
    before = children()
    folder = adapt('--compile', more=(f'uvpt.{option}',))
    (line,) = [line for line in log(folder).splitlines(True) if 'uncompiled' in line]
    assert '--compile: it goes on uncompiled: ' in line
    assert reason in line
    assert_alike(folder, plain, rtol=0, atol=0)
    assert children() == before


def test_low_memory_is_not_compiled(adapt, plain):
    folder = adapt('--compile', '--low-memory')
    assert 'uncompiled: with low_memory the backward pass runs parts again' in log(folder)
    assert_alike(folder, plain, rtol=0, atol=0)


@pytest.mark.slow
def test_a_folder_of_version_0_1_goes_on(adapt, plain, tmp_path):
    """It recorded ``compile = True``, mmengine's own entry then, and nothing under ``uvpt``."""
    folder = shutil.copytree(plain, tmp_path / 'run')
    config = folder / 'config.py'
    written = Config.fromfile(config)
    written.pop('uvpt')
    written.compile = True
    config.write_text(written.pretty_text)
    (folder / 'iter_3.pth').unlink()
    with pytest.raises(UserError, match='continue it with --resume'):
        adapt(folder=folder)
    adapt('--resume', folder=folder)
    assert (folder / 'iter_3.pth').is_file()


def test_the_entry_of_mmengine(adapt, adaptation_config, tmp_path):
    """A file that version 0.1 recorded is read as ours; whoever says more is told what to say."""
    with pytest.raises(UserError, match=r"uvpt\.compile='eager' must be of type bool"):
        adapt(more=('compile=eager',))
    file = tmp_path / 'config.py'
    file.write_text(f'_base_ = [{str(adaptation_config)!r}]\ncompile = True\n')
    found = resolve.read(file)
    assert found.uvpt.compile is True
    assert 'compile' not in found


def test_several_processes_are_not_compiled(monkeypatch):
    """All decide alike, without asking each other."""
    model = object.__new__(UniUVPT)
    monkeypatch.setattr(torch.distributed, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.distributed, 'get_world_size', lambda: 2)
    assert _why_not(model, {}, low_memory=False) == 'several processes train together'


@pytest.mark.parametrize('limit', ['0', '-3', 'soon'])
def test_a_limit_that_is_none(adapt, limit):
    with pytest.raises(
        UserError, match=f"uvpt.compile_limit='?{limit}'? must be (a number|of type int)"
    ):
        adapt('--compile', more=(f'uvpt.compile_limit={limit}',))


def test_half_written_libraries_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))
    (tmp_path / 'ab').mkdir()
    names = ('old.so', 'new.so', 'new.cpp')
    for name in names:
        (tmp_path / 'ab' / name).write_text('half')
    os.utime(tmp_path / 'ab/old.so', (0, 0))
    _remove_torn()
    assert sorted(p.name for p in (tmp_path / 'ab').iterdir()) == ['new.cpp', 'old.so']


@pytest.mark.slow
def test_the_script_with_inductor(adaptation_config, labelled, plain, tmp_path):
    """Compiled in time or not: the training ends with the right numbers, and nothing is left."""
    command = [sys.executable, 'train.py', str(adaptation_config), *labelled, '--compile']
    where = ['--work-dir', str(tmp_path / 'run'), '--no-validate', '--cfg-options', *ITERATIONS]
    environment = {**os.environ, 'TORCHINDUCTOR_CACHE_DIR': str(tmp_path / 'cache')}
    subprocess.run([*command, *where], cwd=REPOSITORY, env=environment, check=True, timeout=900)
    text = log(tmp_path / 'run')
    slow = 'uncompiled: compiling takes longer than uvpt.compile_limit=120 s' in text
    assert slow != ('compiled in' in text)
    tolerance = {'rtol': 0, 'atol': 0} if slow else {'rtol': 1e-2, 'atol': 1e-4}
    assert_alike(tmp_path / 'run', plain, **tolerance)
    assert not subprocess.run(['pgrep', '-f', str(tmp_path)], capture_output=True).stdout
