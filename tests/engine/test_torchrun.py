"""Our torchrun: the real one, whose status says how its processes ended."""

import signal
import subprocess
import sys
import time

import pytest
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from mmseg_uvpt.engine.training import torchrun
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.errors import STOPPED
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_a_signal_is_handed_on(tmp_path, source_config, miniature, processes):
    folder = tmp_path / 'run'
    command = [sys.executable, '-m', 'mmseg_uvpt.engine.training.torchrun']
    command += [f'--nproc-per-node={processes}']
    command += [REPOSITORY / 'pretrain.py', source_config, '--data-root', miniature / 'data']
    options = ['train_cfg.max_iters=100000', 'default_hooks.checkpoint.interval=100000']
    with open(tmp_path / 'printed', 'w') as printed:
        process = subprocess.Popen(
            [*command, '--work-dir', folder, '--cfg-options', *options],
            stdout=printed,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
        )
    deadline = time.monotonic() + 300
    while 'Iter(train)' not in (tmp_path / 'printed').read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(300) == STOPPED, (tmp_path / 'printed').read_text()[-3000:]
    assert last_checkpoint(folder)
    assert 'stopped by SIGUSR1 after' in (tmp_path / 'printed').read_text()


def ending(exit_codes: list[int]):
    """Return what stands in for torchrun's main: its processes end with these."""

    def main(argv: list[str]) -> None:
        failures = {
            rank: ProcessFailure(rank, 100 + rank, code, error_file='N/A')
            for rank, code in enumerate(exit_codes)
        }
        raise ChildFailedError('pretrain.py', failures)

    return main


@pytest.mark.parametrize(
    ('exit_codes', 'status'),
    [
        ([STOPPED, STOPPED], STOPPED),
        ([1, STOPPED], 1),
        ([-9, 1], 137),
    ],
)
def test_statuses(monkeypatch, capsys, exit_codes, status):
    monkeypatch.setattr('torch.distributed.run.main', ending(exit_codes))
    assert torchrun.main(['--nproc-per-node=2', 'pretrain.py']) == status
    said = capsys.readouterr().err
    assert ('process 0 of those that torchrun started ended first' in said) == (status != STOPPED)
    assert ('SIGKILL' in said) == (status == 137)


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, STOPPED), (signal.SIGINT, 130)])
def test_signals(monkeypatch, number, status):
    def main(argv: list[str]) -> None:
        raise SignalException('', number)

    monkeypatch.setattr('torch.distributed.run.main', main)
    assert torchrun.main([]) == status
