"""Stages of long work: commands that a user could type, each run once and then on record.

What a command prints goes to a log; how far it is, warnings of Python and errors are shown.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mmseg_uvpt.engine.work_folder.claim import CONFIG
from mmseg_uvpt.engine.work_folder.lock import LOCK
from mmseg_uvpt.errors import STOPPED, STOPPING, UserError
from mmseg_uvpt.file_lock import Held, acquire
from mmseg_uvpt.files import read_object, write_json
from mmseg_uvpt.processes import die_with, handling
from mmseg_uvpt.shipped import CHECKOUT, INSTALLED
from mmseg_uvpt.subcommands import module_arguments, typed_command

Command = tuple[str, ...]
_PATIENCE = 600  # seconds that a training may take to stop


@dataclass(frozen=True)
class Stage:
    """A step of long work.

    Attributes:
        name: names the step in its record.
        title: says to the person who waits what it does.
        commands: arguments of Python, a tuple a command.
        training: the work folder if the stage is a training.
        shown: whether what it prints is for the person who waits, and goes to no log.
    """

    name: str
    title: str
    commands: tuple[Command, ...]
    training: Path | None = None
    shown: bool = False


class StageFailed(UserError):
    """A command of a stage ended with ``status``."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_each(stages: Iterable[Stage], root: Path, count: int, first: int = 1) -> int:
    """Run stages that are not done, each before the next is asked for.

    Args:
        stages: in their order.
        root: of `run`.
        count: how many there are in all.
        first: number of the first one.

    Returns:
        int: number of the stage that would follow.
    """
    for stage in stages:
        run(stage, root, f'{first}/{count}')
        first += 1
    return first


def run(stage: Stage, root: Path, position: str) -> None:
    """Run a stage unless it is done.

    Args:
        stage: to run. A training that was interrupted is resumed.
        root: the folder of all stages; ``done/<stage>.json`` in it says that a stage is done, and
            ``logs/<stage>.log`` takes what its commands print.
        position: such as ``3/7``, for the person who waits.

    Raises:
        UserError: a command failed (`StageFailed`), or what is done was done by other commands.
    """
    record = root / 'done' / f'{stage.name}.json'
    commands = [list(command) for command in stage.commands]
    if os.path.lexists(record):
        done = read_object(record, 'delete it, and the stage is done again')
        if done.get('commands') != commands:
            raise UserError(
                f'{root} holds a run of other settings: its stage "{stage.name}" was made by '
                f'other commands, see {record}; or it was moved, and they name where it lay. '
                'Choose another folder, move it back, or delete this one.'
            )
        print(f'[{position}] {stage.title}: done before', flush=True)
        return
    log = root / 'logs' / f'{stage.name}.log'
    print(f'[{position}] {stage.title}' + ('' if stage.shown else f' (log: {log})'), flush=True)
    for command in commands:
        if stage.training and (stage.training / CONFIG).is_file():
            _wait_for(stage.training)
            command = (*command, '--resume')
        with _opened(log, command, stage.shown) as file:
            status = run_command(tuple(command), file)
        if status:
            raise StageFailed(
                f'stopped at "{stage.title}" (exit status {status}, see '
                f'{"above" if stage.shown else log}). Run the same command again to go on from '
                'here.',
                status,
            )
    write_json(record, {'commands': commands})


@contextmanager
def _opened(log: Path, command: Sequence[str], shown: bool) -> Iterator[IO | None]:
    """Say what is run: to the person who waits, or in a log; yield the log."""
    typed = f'$ {typed_command(command[0], command[1:])}'
    if shown:
        print(typed, flush=True)
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as file:
        print(typed, file=file, flush=True)
        yield file


def run_command(command: Command, out: IO | None = None, err: int | None = None) -> int:
    """Run a script of the checkout, or what a wheel has in its place; return its exit status.

    It is told to stop when this process is, also by Ctrl-C, and when that ends.

    Args:
        command: the script and its arguments.
        out: takes what it prints to stdout; None to show it.
        err: `subprocess.STDOUT` if that takes what it prints to stderr, too.

    Raises:
        StageFailed: this process was told to stop; its status is `STOPPED`.
    """
    script, *arguments = command
    if INSTALLED:
        words = [*module_arguments(script), *arguments]
    else:
        words = [str(CHECKOUT / script) if script.endswith('.py') else script, *arguments]
    parent = os.getpid()

    def apart() -> None:
        os.setpgid(0, 0)  # Ctrl-C is this process's, which asks for an end in order
        die_with(parent, signal.SIGTERM)

    process = subprocess.Popen([sys.executable, *words], stdout=out, stderr=err, preexec_fn=apart)
    with _handed_on(process) as told:
        status = process.wait()
    if told:
        raise StageFailed('stopped; the same command goes on from here', STOPPED)
    return status


def _wait_for(work: Path) -> None:
    """Wait for the training of an earlier call, which was told to stop, to end."""
    try:
        os.close(acquire(work / LOCK, 0))
    except Held:
        print('waiting for the training of an earlier call to end', flush=True)
        with suppress(Held):  # the training says who holds it
            os.close(acquire(work / LOCK, _PATIENCE))


@contextmanager
def _handed_on(process: subprocess.Popen) -> Iterator[list[int]]:
    """Tell a process to stop where this one is told; yield the signals that told it."""
    told = []

    def hand_on(number: int, _: object) -> None:
        told.append(number)
        process.send_signal(signal.SIGTERM)

    with handling((*STOPPING, signal.SIGINT), hand_on):
        yield told
