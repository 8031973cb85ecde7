"""The line of a training on a terminal: what it says, and that nothing else changes."""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import killed_runs
import pytest
import torch

from mmseg_uvpt.engine.hooks.status_line import StatusLineHook
from mmseg_uvpt.engine.scripts import pretrain
from mmseg_uvpt.errors import STOPPED


def on_terminal(main: Callable[[list[str]], None], arguments: list[str]) -> tuple[int, str]:
    """Run a script on a terminal of 100 columns; return its exit status and what it drew."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))

    def run(argv: list[str]) -> None:
        sys.stdout = sys.stderr = open(inside, 'w')  # noqa: SIM115
        main(argv)

    process = killed_runs.fork(run, arguments)
    os.close(inside)
    drawn = b''
    try:
        while part := os.read(terminal, 65536):
            drawn += part
    except OSError:  # the other end is closed
        os.close(terminal)
    return killed_runs.wait(process), drawn.decode()


def weights(folder: Path) -> dict:
    return torch.load(folder / 'iter_4.pth', weights_only=True)['state_dict']


def same(folder: Path, other: Path) -> bool:
    ours, theirs = weights(folder), weights(other)
    return ours.keys() == theirs.keys() and all(ours[k].equal(theirs[k]) for k in ours)


@pytest.fixture
def arguments(tmp_path, source_config, miniature) -> list[str]:
    data = ['--data-root', str(miniature / 'data')]
    return [str(source_config), '--work-dir', str(tmp_path / 'run'), *data]


def test_a_line_below_what_is_logged(arguments, tmp_path, finished):
    status, drawn = on_terminal(pretrain.main, arguments)
    assert status == 0, drawn
    lines = [line for line in drawn.split('\r') if line.startswith('training:')]
    assert ' 0/4 ' in lines[0]
    assert any(' 2/4 ' in line and 'loss=' in line for line in lines)
    assert ' 4/4 ' in lines[-1]
    assert 'mIoU' in lines[-1]
    assert all(line.count('\n') == 0 for line in lines[1:])
    assert 'Iter(train) [4/4]' in drawn
    assert same(tmp_path / 'run', finished)


@pytest.mark.parametrize('end', ['a signal', 'an error'])
def test_the_line_goes_with_the_training(arguments, tmp_path, finished, run, end):
    """And the run goes on where there is no terminal, to the same numbers."""
    count = StatusLineHook.after_train_iter

    def ended(self, runner, *args, **kwargs):
        count(self, runner, *args, **kwargs)
        if runner.iter == 1:
            if end == 'an error':
                raise ArithmeticError('of a part')
            signal.raise_signal(signal.SIGTERM)

    def main(argv):
        StatusLineHook.after_train_iter = ended  # in a process of its own
        pretrain.main(argv)

    status, drawn = on_terminal(main, arguments)
    assert status == (1 if end == 'an error' else STOPPED)
    after = drawn[drawn.rindex('training:') :].split('\r')
    assert after[1].strip() == '', drawn[-500:]  # drawn over with blanks
    assert 'ArithmeticError' in drawn if end == 'an error' else 'stopped by SIGTERM' in drawn
    run('--resume')
    assert same(tmp_path / 'run', finished)


def test_plain_lines_beside_a_log(run, capfd):
    run()
    told = capfd.readouterr().err
    assert '\r' not in told
    assert 1 <= told.count('training: ') <= 4  # lines are seconds apart
    assert 'training: 4/4 iterations, 0:00:00 left' in told


def test_no_line_where_the_log_goes(arguments, tmp_path):
    log = tmp_path / 'both'

    def main(argv: list[str]) -> None:
        sys.stdout = sys.stderr = log.open('w')
        pretrain.main(argv)

    assert killed_runs.wait(killed_runs.fork(main, arguments)) == 0
    assert 'Iter(train) [4/4]' in log.read_text()
    assert 'training: 4/4' not in log.read_text()
