"""A training that is told to stop by a signal."""

import contextlib
import os
import signal
import time
from pathlib import Path

import killed_runs
import pytest

from mmseg_uvpt.engine.scripts import pretrain
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.errors import STOPPED

LONG = ['train_cfg.max_iters=300', 'train_cfg.val_interval=200']
RARE = ['default_hooks.checkpoint.interval=1000', 'train_dataloader.num_workers=2']


@pytest.fixture
def arguments(tmp_path, source_config, miniature) -> list[str]:
    """Of a long pretraining whose only checkpoint comes at its end."""
    data = ['--data-root', str(miniature / 'data')]
    options = ['--work-dir', str(tmp_path / 'run'), '--cfg-options', *LONG, *RARE]
    return [str(source_config), *data, *options]


def iterations(folder: Path) -> int:
    """Return the last iteration in the log."""
    lines = [line for log in folder.glob('*/*.log') for line in log.read_text().splitlines()]
    found = [line.split('[')[1].split('/')[0] for line in lines if 'Iter(train)' in line]
    return max(map(int, found), default=0)


def started(arguments: list[str], count: int) -> int:
    """Start a training in a session of its own, and wait for an iteration; return its id."""

    def main(argv: list[str]) -> None:
        os.setsid()
        pretrain.main(argv)

    process = killed_runs.fork(main, arguments)
    folder = Path(arguments[arguments.index('--work-dir') + 1])
    deadline = time.monotonic() + 60
    while iterations(folder) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_signal_to_the_group(arguments, tmp_path, number):
    """As Slurm sends it: the loader workers get it too, and must not take the training down."""
    process = started(arguments, 3)
    os.killpg(process, number)
    assert killed_runs.wait(process) == STOPPED
    with contextlib.suppress(ProcessLookupError):  # nothing is left of the session, in a moment
        for _ in range(200):
            os.killpg(process, 0)
            time.sleep(0.05)
        pytest.fail('a worker has outlived the training')
    checkpoint = last_checkpoint(tmp_path / 'run')
    assert checkpoint.name == f'iter_{iterations(tmp_path / "run")}.pth'
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert f'stopped by {signal.Signals(number).name} after' in log
    assert f'exit status {STOPPED}' in log


def test_stopped_and_resumed_is_as_never_stopped(arguments, tmp_path):
    short = [a.replace('max_iters=300', 'max_iters=12') for a in arguments]
    assert killed_runs.wait(killed_runs.fork(pretrain.main, short)) == 0
    (tmp_path / 'run').rename(tmp_path / 'whole')
    for options in (short, [*short, '--resume']):
        process = started(options, iterations(tmp_path / 'run') + 1)
        os.kill(process, signal.SIGTERM)
        assert killed_runs.wait(process) == STOPPED
    assert killed_runs.wait(killed_runs.fork(pretrain.main, [*short, '--resume'])) == 0
    a, b = (killed_runs.left_behind(tmp_path / name, 12) for name in ('whole', 'run'))
    assert killed_runs.differences(a, b) == []


def test_signal_within_an_evaluation(arguments, tmp_path, monkeypatch):
    """The evaluation is left, and made when the run goes on."""

    def interrupt(self, runner, *_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    monkeypatch.setattr('mmengine.hooks.LoggerHook.after_val_iter', interrupt)
    short = [a.replace('_interval=200', '_interval=3') for a in arguments]
    assert killed_runs.wait(killed_runs.fork(pretrain.main, short)) == STOPPED
    assert last_checkpoint(tmp_path / 'run').name == 'iter_3.pth'


def test_signal_before_training(arguments, tmp_path, monkeypatch, capfd):
    """Nothing says yet what run the folder holds; it is begun by --resume all the same."""

    def interrupt(cfg, hooks):
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr('mmseg_uvpt.engine.training.run.build_runner', interrupt)
        assert killed_runs.wait(killed_runs.fork(pretrain.main, arguments)) == STOPPED
    assert 'stopped by SIGTERM before training began' in capfd.readouterr().err
    short = [a.replace('max_iters=300', 'max_iters=1') for a in arguments]
    assert killed_runs.wait(killed_runs.fork(pretrain.main, [*short, '--resume'])) == 0
    assert last_checkpoint(tmp_path / 'run').name == 'iter_1.pth'
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'run holds no run yet: one begins' in log
