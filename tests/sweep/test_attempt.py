"""A job's process: its lock, its record, and its end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes import DONE, fake_jobs

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.sweep.attempt import Attempt, Busy, is_running, job_record_of, last_of, stop_all

SLEEP = 'import time; time.sleep(60)'
# a script that starts another process, which would outlive it
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
open(f'{folder}/child', 'w').write(str(child.pid))
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(f'{folder}/child', 'w').write('ready')
time.sleep(60)
"""


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'waited too long'
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_record_and_log(tmp_path):
    (job,) = fake_jobs(tmp_path, f"print('hello')\n{DONE}")
    attempt = Attempt(job, {'SEEN': 'yes'}, 'GPU 3')
    assert attempt.wait() == 0
    assert job.done()
    facts = last_of(job_record_of(job.folder))
    assert facts['status'] == 0
    assert facts['where'] == 'GPU 3'
    assert facts['started'] <= facts['ended']
    assert 'hello' in (job.folder / 'job.log').read_text()


def test_variables_reach_the_script_and_each_attempt_is_recorded(tmp_path):
    (job,) = fake_jobs(tmp_path, "import os, sys; print(os.environ['SEEN']); sys.exit(3)")
    for _ in range(2):
        assert Attempt(job, {'SEEN': 'this'}).wait() == 3
    assert [a['status'] for a in job_record_of(job.folder)['attempts']] == [3, 3]
    assert (job.folder / 'job.log').read_text().count('\nthis\n') == 2


def test_a_job_runs_once(tmp_path):
    (job,) = fake_jobs(tmp_path, SLEEP)
    assert not is_running(job.folder)
    attempt = Attempt(job)
    assert is_running(job.folder)
    with pytest.raises(Busy):
        Attempt(job)
    stop_all([attempt], 10)
    assert not is_running(job.folder)
    assert len(job_record_of(job.folder)['attempts']) == 1
    assert last_of(job_record_of(job.folder))['status'] == -signal.SIGTERM


def test_all_that_a_script_started_ends_with_it(tmp_path):
    (job,) = fake_jobs(tmp_path, PARENT)
    attempt = Attempt(job)
    wait_for((job.folder / 'child').exists)
    wait_for((job.folder / 'child').read_text)
    child = int((job.folder / 'child').read_text())
    assert alive(child)
    stop_all([attempt], 10)
    wait_for(lambda: not alive(child))


def test_a_script_that_does_not_listen_is_killed(tmp_path):
    (job,) = fake_jobs(tmp_path, STUBBORN)
    attempt = Attempt(job)
    wait_for((job.folder / 'child').exists)
    stop_all([attempt], 0.2)
    assert attempt.poll() == -signal.SIGKILL


def test_a_killed_launcher_takes_its_script_with_it(tmp_path):
    code = (
        'import sys, time; from pathlib import Path; from fakes import fake_jobs\n'
        'from mmseg_uvpt.sweep.attempt import Attempt\n'
        f'Attempt(fake_jobs(Path({str(tmp_path)!r}), {SLEEP!r})[0]); time.sleep(60)'
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    launcher = subprocess.Popen(
        [sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': paths}
    )
    (job,) = fake_jobs(tmp_path, SLEEP)
    try:
        wait_for(lambda: is_running(job.folder) and (job.folder / 'job.log').exists())
        assert launcher.poll() is None
    finally:
        launcher.kill()
        launcher.wait()
    wait_for(lambda: not is_running(job.folder))
    assert 'status' not in last_of(job_record_of(job.folder))  # nobody was there to see its end


def test_folder_that_cannot_be_written(tmp_path):
    (job,) = fake_jobs(tmp_path / 'file', SLEEP)
    (tmp_path / 'file').write_text('no folder')
    with pytest.raises(UserError, match=r'cannot write .*file/seed0/fake/job0/job\.lock'):
        Attempt(job)


def test_damaged_record(tmp_path):
    (job,) = fake_jobs(tmp_path, DONE)
    job.folder.mkdir(parents=True)
    (job.folder / 'job.json').write_text(json.dumps({'attempts': []})[:5])
    with pytest.raises(UserError, match=r'job\.json cannot be read .* delete it'):
        Attempt(job)
    assert not is_running(job.folder)
