"""A launcher whose scripts are forks of this process: ``forking_launcher.py launcher_x.py ...``.

Starting Python and importing torch and mmseg takes 5 s a script, which a sweep of forty jobs pays
forty times. Here it is paid once a launcher; all else, from arguments to signals, is as in use.
``make rehearsal`` runs the sweep as it is.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import yapf.yapflib.yapf_api

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.engine.training import run  # noqa: F401
from mmseg_uvpt.processes import die_with
from mmseg_uvpt.sweep import attempt


class Fork:
    """What `attempt` uses of a `subprocess.Popen`."""

    def __init__(self, command, environment, log, lock):
        context = multiprocessing.get_context('fork')
        arguments = (command, environment, log, os.getpid())
        self._process = context.Process(target=_script, args=arguments)
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode

    def wait(self):
        self._process.join()


def _script(command: list[str], environment: dict, log: Path, parent: int) -> None:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    die_with(parent, signal.SIGTERM)
    with open(log, 'a') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.argv = command[1:]
    runpy.run_path(command[1], run_name='__main__')


if __name__ == '__main__':
    attempt._spawn = Fork
    yapf.yapflib.yapf_api.FormatCode = lambda text, **_: (text, True)  # a second a script
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name='__main__')
