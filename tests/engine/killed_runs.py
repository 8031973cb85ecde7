"""Trainings in processes of their own, forked from this one, so that a start costs no imports; and
what they leave behind, for comparing."""

import gc
import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from mmseg_uvpt import files
from mmseg_uvpt.correction import label_bank, undo
from mmseg_uvpt.engine.hooks.skipped_iterations import FiniteOptimWrapper
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.errors import run_cli

# where a run can be killed, beside any moment: (holder, function); many are called a few times an
# iteration, and around each write of checkpoints, tables and the label bank
STEPS = [
    (os, 'replace'),
    (os, 'fsync'),
    (os, 'rename'),
    (label_bank, 'release'),
    (np.memmap, 'flush'),
    (undo.UndoLog, 'save'),
    (undo.UndoLog, 'begin'),
    (FiniteOptimWrapper, 'step'),
    (torch, 'save'),
    (files, 'write_whole'),
]


def fork(main: Callable[[list[str]], None], arguments: list[str], kill_at: int = 0) -> int:
    """Run a script's ``main`` in a forked process; return its process id.

    Args:
        main: of the script.
        arguments: of the script.
        kill_at: number of the call of one of `STEPS` at which the process kills itself.
    """
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        torch.set_num_threads(1)  # a pool of threads does not survive a fork
        gc.freeze()  # mmengine collects garbage, half a second a time
        provenance.environment = dict  # half a second
        provenance.git_revision = dict
        if kill_at:
            _kill_at(kill_at)
        main(arguments)
        status = 0
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def fork_together(
    main: Callable[[list[str]], None],
    arguments: list[str],
    kill_at: Sequence[int] = (0, 0),
    nodes: int = 1,
) -> list[int]:
    """Run a script's ``main`` in processes that work together, as torchrun starts them.

    Args:
        main: of the script.
        arguments: of the script.
        kill_at: for each process, see `fork`.
        nodes: machines that the processes are told they are on.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        place = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(free.getsockname()[1])}
    place |= {'WORLD_SIZE': str(len(kill_at)), 'TORCHELASTIC_RUN_ID': 'tests'}
    size = len(kill_at) // nodes

    def member(rank: int) -> Callable[[list[str]], None]:
        def run(argv: list[str]) -> None:
            os.environ.update(place, RANK=str(rank), LOCAL_RANK=str(rank % size))
            os.environ.update(GROUP_RANK=str(rank // size), LOCAL_WORLD_SIZE=str(size))
            run_cli(lambda: main(argv))

        return run

    return [fork(member(rank), arguments, number) for rank, number in enumerate(kill_at)]


def _kill_at(count: int) -> None:
    left = [count]

    def killing(function: Callable) -> Callable:
        def call(*args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for holder, name in STEPS:
        setattr(holder, name, killing(getattr(holder, name)))


def wait(process: int) -> int:
    """Return the exit status of a process; negative: the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def statuses_together(
    main: Callable[[list[str]], None], arguments: list[str], **options: object
) -> list[int]:
    """Return the exit statuses of the processes of `fork_together`."""
    return [wait(process) for process in fork_together(main, arguments, **options)]


def kill_after(process: int, seconds: float) -> int:
    """Kill a process unless it ends before; return its exit status."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    return wait(process)


def run_with_kills(
    main: Callable,
    arguments: list[str],
    folder: Path,
    moments: random.Random,
    kills: int,
    seconds: float,
) -> int:
    """Start a training again and again, with 0 and 2 workers in turn, until it ends.

    Args:
        main: of the script.
        arguments: of the script; they end with ``--cfg-options``.
        folder: its work folder.
        moments: draws the moments at which it is killed: a time, or one of `STEPS`.
        kills: how often it is killed before it may end.
        seconds: that a whole run takes.

    Returns:
        int: kills; fewer where it ended earlier.
    """
    killed = 0
    while True:
        options = [f'train_dataloader.num_workers={2 * (killed % 2)}']
        if (folder / 'config.py').is_file():
            options.append('--resume')
        if killed == kills:
            status = wait(fork(main, [*arguments, *options]))
        elif moments.random() < 0.5:
            process = fork(main, [*arguments, *options])
            status = kill_after(process, moments.uniform(0.05, 0.5) * seconds)
        else:
            status = wait(fork(main, [*arguments, *options], moments.randint(1, 40)))
        assert status in (0, -signal.SIGKILL), status
        if status == 0:
            return killed
        killed += 1


def logged(folder: Path, key: str) -> list[dict]:
    """Return the lines with a key of what the starts of a run logged, in their order."""
    paths = sorted(folder.glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [line for line in lines if key in line]


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint."""
    return torch.load(path, weights_only=True)['state_dict']


def left_behind(folder: Path, iterations: int) -> dict:
    """Return all that a finished run leaves of its result: tensors, tables, bank, logged figures.

    Times and paths are left out, which differ from run to run.
    """
    checkpoint = torch.load(folder / f'iter_{iterations}.pth', weights_only=True)
    hub = checkpoint['message_hub']
    kept = ('state_dict', 'optimizer', 'param_schedulers', 'exact_resume', 'label_correction')
    result = {name: checkpoint[name] for name in kept if name in checkpoint}
    result['histories'] = {k: v for k, v in hub['log_scalars'].items() if 'time' not in k}
    files_ = [*folder.glob('*.csv'), *folder.glob('label_bank/*.*')]
    files_ += folder.glob('selection.json')
    result['files'] = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(files_)}
    result['best'] = {
        path.name: tensors(path)
        for path in (*folder.glob('best_*.pth'), *folder.glob('selected.pth'))
    }
    figures = {}  # of an iteration that was repeated, the last
    for path in sorted(folder.glob('*/vis_data/scalars.json'), key=lambda p: p.stat().st_mtime):
        for line in path.read_text().splitlines():
            try:
                found = json.loads(line)
            except ValueError:  # cut off by a kill
                continue
            kind = 'val' if 'mIoU19' in found else 'train' if 'loss' in found else 'other'
            numbers = {k: v for k, v in found.items() if 'time' not in k}
            figures[(kind, found['step'], *sorted(numbers))] = numbers
    result['figures'] = figures
    return result


def differences(a: object, b: object, path: str = '') -> list[str]:
    """Return where two nested values differ; tensors to the bit."""
    if type(a) is not type(b):
        return [f'{path}: {type(a).__name__} and {type(b).__name__}']
    if isinstance(a, dict):
        found = [f'{path}: only one has {key}' for key in a.keys() ^ b.keys()]
        return found + [
            line for k in a.keys() & b.keys() for line in differences(a[k], b[k], f'{path}/{k}')
        ]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f'{path}: {len(a)} and {len(b)} items']
        pairs = enumerate(zip(a, b, strict=True))
        return [line for i, (x, y) in pairs for line in differences(x, y, f'{path}/{i}')]
    if isinstance(a, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape
        same = same and np.array_equal(_bytes(a), _bytes(b))
    else:
        same = a == b or (a != a and b != b)  # NaN
    return [] if same else [path]


def _bytes(tensor: torch.Tensor) -> np.ndarray:
    return tensor.contiguous().flatten().view(torch.uint8).numpy()
