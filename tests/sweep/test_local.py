"""The local queue."""

import io
import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from fakes import DONE, fake_jobs
from rich.console import Console
from test_attempt import SLEEP, alive, wait_for

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.sweep.attempt import Attempt, is_running, job_record_of, last_of, stop_all
from mmseg_uvpt.sweep.display import Screen
from mmseg_uvpt.sweep.local import LocalQueue, places
from mmseg_uvpt.sweep.status import State, status_of

CPU = places([], 1, 1)
# notes when it ran, and on which GPU; the first two wait for each other
TIMED = f"""
import os, time
begin = time.time()
gpu = os.environ['CUDA_VISIBLE_DEVICES']
open(f'{{folder}}/../begun{{gpu}}', 'w').close()
while not all(os.path.exists(f'{{folder}}/../begun{{i}}') for i in '01'):
    time.sleep(0.01)
with open(f'{{folder}}/times', 'w') as file:
    print(begin, time.time(), gpu, file=file)
{DONE}
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr('mmseg_uvpt.sweep.local._STEP', 0.02)
    monkeypatch.setattr('mmseg_uvpt.sweep.local.PATIENCE', 1)


def run(jobs, free=CPU, queue=None):
    with Screen() as screen:
        return LocalQueue(jobs, free, screen, queue or {}).run()


def states(statuses) -> list[str]:
    return [status.state.value for status in statuses.values()]


@pytest.mark.parametrize(
    ('gpus', 'a_job', 'a_gpu', 'expected'),
    [
        (['0', '1'], 1, 1, ['0', '1']),
        (['0', '1'], 1, 2, ['0', '1', '0', '1']),
        (['3', '5', '7'], 2, 1, ['3,5']),  # the third GPU is left over
        (['0', '1'], 0, 2, ['', '']),  # on processors, though there are GPUs
        ([], 1, 3, ['', '', '']),
    ],
)
def test_places(gpus, a_job, a_gpu, expected):
    found = places(gpus, a_job, a_gpu)
    assert [place['CUDA_VISIBLE_DEVICES'] for place in found] == expected


def test_jobs_on_processors_share_them(monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr('mmseg_uvpt.sweep.local.share_of_processors', lambda: 6)
    assert [place['OMP_NUM_THREADS'] for place in places([], 1, 2)] == ['3', '3']
    monkeypatch.setenv('OMP_NUM_THREADS', '5')
    assert places([], 1, 2)[0]['OMP_NUM_THREADS'] == '5'


def test_more_gpus_a_job_than_there_are():
    with pytest.raises(UserError, match='--gpus-per-job 4: torch sees 2 GPUs here'):
        places(['0', '1'], 4, 1)
    with pytest.raises(UserError, match='--gpus-per-job 2: torch sees 0 GPUs here'):
        places([], 2, 1)


def test_as_many_at_a_time_as_there_are_places(tmp_path):
    jobs = fake_jobs(tmp_path, *[TIMED] * 5)
    assert states(run(jobs, places(['0', '1'], 1, 1))) == ['done'] * 5
    times = [(job.folder / 'times').read_text().split() for job in jobs]
    for gpu in ('0', '1'):
        spans = sorted((float(a), float(b)) for a, b, where in times if where == gpu)
        assert spans
        assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_fewer_jobs_than_gpus(tmp_path):
    jobs = fake_jobs(tmp_path, DONE)
    assert states(run(jobs, places(['0', '1', '2', '3'], 1, 1))) == ['done']


def test_a_failed_job_leaves_its_last_lines_and_the_others_go_on(tmp_path):
    bad = "import sys; print('all was well'); sys.exit('error: file x is missing')"
    jobs = fake_jobs(tmp_path, bad, DONE, 'import os; os.kill(os.getpid(), 9)')
    statuses = run(jobs)
    assert states(statuses) == ['failed', 'done', 'failed']
    assert statuses[jobs[0]].note.splitlines()[0] == 'exit status 1'
    assert statuses[jobs[0]].note.endswith('all was well\nerror: file x is missing')
    assert statuses[jobs[2]].note.startswith('killed by signal 9')


def test_done_jobs_are_left_alone_and_failed_ones_run_again(tmp_path):
    once = f"import os, sys\nif not os.path.exists('{tmp_path}/mended'): sys.exit(1)\n{DONE}"
    jobs = fake_jobs(tmp_path, DONE, once)
    assert states(run(jobs)) == ['done', 'failed']
    before = (jobs[0].folder / 'job.json').read_bytes()
    (tmp_path / 'mended').touch()
    assert states(run(jobs)) == ['done', 'done']
    assert (jobs[0].folder / 'job.json').read_bytes() == before


def test_a_job_that_ends_well_without_its_result_is_not_done(tmp_path):
    (job,) = fake_jobs(tmp_path, 'pass')
    state, note = run([job])[job]
    assert state is State.FAILED
    assert note.startswith('exit status 0, but the result is not there')


def test_what_another_launcher_finished_meanwhile_does_not_run_again(tmp_path):
    noting = f"open(f'{{folder}}/ran', 'a').write('x')\n{DONE}"
    jobs = fake_jobs(tmp_path, *[noting] * 2)
    with Screen() as screen:
        late = LocalQueue(jobs, CPU, screen, {})  # has looked at the jobs, and starts later
        assert states(run(jobs)) == ['done', 'done']
        assert states(late.run()) == ['done', 'done']
    assert [(job.folder / 'ran').read_text() for job in jobs] == ['x', 'x']


def test_finished_jobs_run_again_where_asked_and_old_results_are_kept(tmp_path):
    (job,) = fake_jobs(tmp_path, f"open(f'{{folder}}/ran', 'a').write('x')\n{DONE}")
    run([job])
    with Screen() as screen:
        statuses = LocalQueue([job], CPU, screen, {}, frozenset([job])).run()
    assert states(statuses) == ['done']
    ran = [path.read_text() for path in job.folder.parent.glob('job0*/ran')]
    assert ran == ['x', 'x']


def test_a_process_that_outlives_its_script_is_ended(tmp_path):
    code = (
        'import subprocess, sys\n'
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False)\n"
    )
    jobs = fake_jobs(tmp_path, code + DONE, code + 'raise SystemExit(3)')
    begin = time.monotonic()
    assert states(run(jobs)) == ['done', 'failed']
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize('record', ['[]', '{"attempts": [3]}', '{"att', 'null'])
def test_a_damaged_record_is_one_job_that_failed(tmp_path, record):
    jobs = fake_jobs(tmp_path, DONE, DONE)
    jobs[0].folder.mkdir(parents=True)
    (jobs[0].folder / 'job.json').write_text(record)
    statuses = run(jobs)
    assert states(statuses) == ['failed', 'done']
    assert 'job.json' in statuses[jobs[0]].note
    assert 'delete it' in statuses[jobs[0]].note


def test_a_job_that_cannot_start_leaves_the_others_alone(tmp_path):
    jobs = fake_jobs(tmp_path, DONE, DONE, DONE)
    (jobs[0].folder / 'job.log').mkdir(parents=True)
    jobs[1].folder.parent.mkdir(parents=True, exist_ok=True)
    jobs[1].folder.write_text('a file')
    assert run(jobs)[jobs[2]].state is State.DONE


def test_what_the_launcher_stopped_is_to_be_resumed(tmp_path):
    (job,) = fake_jobs(tmp_path, SLEEP)
    attempt = Attempt(job)
    stop_all([attempt], 10)
    assert last_of(job_record_of(job.folder))['stopped']
    assert status_of(job) == (State.READY, 'to be resumed')


def test_missing_input_is_said_and_nothing_starts(tmp_path):
    (job,) = fake_jobs(tmp_path, DONE, wants=tmp_path / 'weights.pth')
    status = run([job])[job]
    assert status == (State.MISSING, f'{tmp_path}/weights.pth does not exist')
    assert not job.folder.exists()


def test_what_waits_in_slurm_is_left_to_it(tmp_path):
    (job,) = fake_jobs(tmp_path, DONE)
    job.folder.mkdir(parents=True)
    (job.folder / 'job.json').write_text('{"slurm": "7_0"}')
    assert run([job], queue={'7_0': 'PENDING'})[job].state is State.QUEUED
    assert run([job])[job].state is State.DONE


def test_a_job_of_another_launcher_is_waited_for_and_taken_over(tmp_path):
    code = f"import os, time\nif os.environ.get('SLOW'): time.sleep(60)\n{DONE}"
    jobs = fake_jobs(tmp_path, code, DONE)
    other = Attempt(jobs[0], {'SLOW': '1'}, 'elsewhere')
    threading.Timer(0.5, lambda: other.signal(9)).start()
    statuses = run(jobs)
    other.wait()
    assert states(statuses) == ['done', 'done']
    assert last_of(job_record_of(jobs[0].folder))['where'] == 'CPU'


def test_interrupted_queue_ends_its_own_scripts_and_no_others(tmp_path, monkeypatch):
    jobs = fake_jobs(tmp_path, SLEEP, SLEEP, DONE)
    stranger = Attempt(fake_jobs(tmp_path / 'other', SLEEP)[0])

    def interrupt(self, statuses):
        if states(statuses)[:2] == ['running'] * 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Screen, 'update', interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(jobs, CPU * 2)
    assert [is_running(job.folder) for job in jobs] == [False] * 3
    assert [last_of(job_record_of(job.folder)).get('status') for job in jobs] == [-15, -15, None]
    assert is_running(stranger.job.folder)
    stranger.signal(9)
    stranger.wait()


def test_plain_lines_without_a_terminal(tmp_path, capsys):
    jobs = fake_jobs(tmp_path, DONE, 'raise SystemExit("no luck")')
    run(jobs)
    lines = [line.split(' ', 1)[1] for line in capsys.readouterr().out.splitlines()[:-1] if line]
    assert 'job0/seed0 done' in lines
    assert any(line.startswith('job1/seed0 failed: exit status 1') for line in lines)
    assert '\x1b' not in ''.join(lines)


def test_one_screen_on_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv('TERM', 'xterm')  # on a dumb one nothing is drawn
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=100)
    monkeypatch.setattr('mmseg_uvpt.sweep.display.console', lambda: terminal)
    jobs = fake_jobs(tmp_path, f'import time; time.sleep(0.2)\n{DONE}', 'raise SystemExit(1)')
    run(jobs)
    text = shown.getvalue()
    assert '1 ready, 1 running' in text
    assert '1 failed, 1 done' in text
    assert '\x1b[2K' in text  # the table is drawn over itself


def test_status_of_an_interrupted_job(tmp_path):
    (job,) = fake_jobs(tmp_path, SLEEP)
    assert status_of(job) == (State.READY, '')
    attempt = Attempt(job)
    wait_for((job.folder / 'job.log').exists)
    assert status_of(job).state is State.RUNNING
    os.killpg(attempt._process.pid, 9)
    wait_for(lambda: not is_running(job.folder))
    assert status_of(job) == (State.READY, 'to be resumed')
    assert not alive(attempt._process.pid)
    attempt.wait()


def test_a_result_older_than_its_input_is_remarked(tmp_path):
    source = tmp_path / 'source.pth'
    source.touch()
    (job,) = fake_jobs(tmp_path, DONE, wants=source)
    run([job])
    assert status_of(job) == (State.DONE, '')
    later = time.time() + 10
    os.utime(source, (later, later))
    assert status_of(job) == (State.DONE, 'source.pth is newer: run it again with --again')
    assert Path(job.makes).exists()


def test_stopped_by_a_signal_is_not_failed(tmp_path):
    """A training that was told to stop says so by its status, and goes on when called again."""
    (job,) = fake_jobs(tmp_path, 'import sys; sys.exit(75)')
    assert Attempt(job).wait() == 75
    assert status_of(job) == (State.READY, 'to be resumed')
