"""The Slurm engine, against a real Slurm of one node where it is installed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import DONE, fake_jobs
from test_attempt import wait_for

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.sweep import slurm
from mmseg_uvpt.sweep.attempt import is_running, job_record_of, last_of
from mmseg_uvpt.sweep.display import Screen
from mmseg_uvpt.sweep.status import State, status_of

SCRIPT = Path(__file__).with_name('slurm_cluster.sh')
OPTIONS = slurm.Options(partition=None, minutes=5, array_limit=2, gpus=0, sbatch={})
# works until it is stopped; what an earlier start left is its checkpoint
RESUMING = f"""
import os, time
if not os.path.exists(f'{{folder}}/checkpoint'):
    with open(f'{{folder}}/checkpoint', 'w') as file:
        file.write(str(os.getppid()))
    time.sleep(120)
{DONE}
"""


@pytest.fixture(scope='module')
def cluster():
    """A running Slurm; SLURM_CONF names it."""
    found = subprocess.run(['bash', SCRIPT, 'available'], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f'no Slurm here, submitit alone is tested: {found.stderr.strip()}')
    folder = tempfile.mkdtemp(prefix='slurm.')  # its sockets allow no long path
    started = subprocess.run(
        ['bash', SCRIPT, 'start', folder], capture_output=True, text=True, timeout=120
    )
    if started.returncode:
        shutil.rmtree(folder)
        pytest.skip(f'Slurm does not start here, submitit alone is tested: {started.stderr}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SLURM_CONF', re.search('SLURM_CONF=(.*)', started.stdout)[1])
        yield
        subprocess.run(['bash', SCRIPT, 'stop', folder], check=True, capture_output=True)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def on_the_node(monkeypatch):
    """What runs in Slurm finds this package and the fakes; the queue is looked at more often."""
    paths = [str(SCRIPT.parent), str(SCRIPT.parents[2]), *sys.path]
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(paths))
    monkeypatch.setattr('mmseg_uvpt.sweep.slurm._STEP', 0.5)


def run(jobs, options=OPTIONS):
    with Screen() as screen:
        return slurm.run(jobs, options, screen)


def submit(*codes, tmp_path):
    """Submit jobs and wait until the first runs."""
    jobs = fake_jobs(tmp_path, *codes)
    slurm.submit(jobs, OPTIONS)
    wait_for(lambda: is_running(jobs[0].folder), 60)
    return jobs


def test_an_array_of_jobs(cluster, tmp_path):
    noting = "import os\nopen(f'{folder}/gpus', 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])"
    jobs = fake_jobs(tmp_path, f'{noting}\n{DONE}', 'raise SystemExit("error: no luck")', DONE)
    statuses = run(jobs)
    assert [status.state.value for status in statuses.values()] == ['done', 'failed', 'done']
    assert statuses[jobs[1]].note.endswith('error: no luck')
    ids = [job_record_of(job.folder)['slurm'] for job in jobs]
    assert [re.fullmatch(r'(\d+)_\d', i)[1] for i in ids] == [ids[0].split('_')[0]] * 3
    assert (jobs[0].folder / 'gpus').read_text() == ''  # jobs on processors see no GPU
    before = [(job.folder / 'job.json').read_bytes() for job in jobs]
    assert run([jobs[0], jobs[2]])[jobs[0]].state is State.DONE
    assert [(job.folder / 'job.json').read_bytes() for job in jobs] == before


@pytest.mark.slow
def test_a_preempted_job_goes_back_into_the_queue_and_is_resumed(cluster, tmp_path):
    (job,) = submit(RESUMING, tmp_path=tmp_path)
    wait_for((job.folder / 'checkpoint').exists)
    urgent = ['sbatch', '--partition=high', '--exclusive', '--output=/dev/null', '--wrap=sleep 1']
    subprocess.run(urgent, check=True, capture_output=True)
    wait_for(lambda: not is_running(job.folder), 60)
    assert run([job])[job].state is State.DONE
    attempts = job_record_of(job.folder)['attempts']
    assert [attempt['status'] for attempt in attempts] == [-signal.SIGTERM, 0]
    assert attempts[0]['where'] == attempts[1]['where']  # the same job of Slurm


def test_a_slurm_that_does_not_answer_at_once_is_asked_again(monkeypatch):
    answers = [subprocess.CalledProcessError(1, 'squeue'), subprocess.TimeoutExpired('squeue', 60)]

    def squeue(command, **_):
        if answers:
            raise answers.pop()
        return subprocess.CompletedProcess(command, 0, 'RUNNING\n')

    monkeypatch.setattr(subprocess, 'run', squeue)
    monkeypatch.setattr(slurm.time, 'sleep', lambda _: None)
    assert slurm._still_running('7')
    answers[:] = [OSError('no squeue')] * 3
    assert not slurm._still_running('7')


def test_a_watch_outlives_a_slurm_that_is_silent_for_a_while(monkeypatch, tmp_path, capsys):
    (job,) = fake_jobs(tmp_path, DONE)
    job.folder.mkdir(parents=True)
    asked = [False, True, True, False]  # how often it is silent

    def queue(_):
        if asked.pop(0):
            raise UserError('Slurm does not answer')
        if not asked:
            job.makes.write_text('{"mIoU19": 50.0}')
        return {}

    monkeypatch.setattr(slurm, 'queue_of', queue)
    monkeypatch.setattr(slurm, 'submit', lambda *_: None)
    monkeypatch.setattr(slurm.time, 'sleep', lambda _: None)
    assert run([job])[job].state is State.DONE
    asked[:] = [False, True]
    job.makes.unlink()
    monkeypatch.setattr(slurm, '_SILENCE', -1)
    with pytest.raises(UserError, match='does not answer'):
        run([job])


@pytest.mark.slow
def test_a_job_at_its_time_limit_goes_on(cluster, tmp_path):
    (job,) = submit(RESUMING, tmp_path=tmp_path)
    wait_for((job.folder / 'checkpoint').exists)
    # what Slurm sends some time before the limit
    subprocess.run(['scancel', '--signal=USR2', job_record_of(job.folder)['slurm']], check=True)
    assert run([job])[job].state is State.DONE
    assert [a.get('status') for a in job_record_of(job.folder)['attempts']] == [None, 0]


@pytest.mark.slow
def test_a_launcher_that_is_called_again_submits_nothing_twice(cluster, tmp_path):
    (job,) = submit(f'import time; time.sleep(3)\n{DONE}', tmp_path=tmp_path)
    sent = job_record_of(job.folder)['slurm']
    assert status_of(job, slurm.queue_of([job])).state is State.RUNNING
    assert run([job])[job].state is State.DONE
    assert job_record_of(job.folder)['slurm'] == sent
    assert len(job_record_of(job.folder)['attempts']) == 1


@pytest.mark.slow
def test_a_cancelled_job_is_given_up(cluster, tmp_path):
    (job,) = submit(RESUMING, tmp_path=tmp_path)
    wait_for((job.folder / 'checkpoint').exists)
    subprocess.run(['scancel', job_record_of(job.folder)['slurm']], check=True)
    wait_for(lambda: not slurm.queue_of([job]), 60)
    time.sleep(1)
    assert slurm.queue_of([job]) == {}
    assert not job.done()
    assert status_of(job, {}).state in (State.READY, State.FAILED)


@pytest.mark.slow
def test_ctrl_c_leaves_the_jobs_to_slurm(cluster, tmp_path, monkeypatch, capsys):
    jobs = fake_jobs(tmp_path, f'import time; time.sleep(2)\n{DONE}')

    def interrupt(self, statuses):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Screen, 'update', interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(jobs)
    number = job_record_of(jobs[0].folder)['slurm']
    assert f'to end them: scancel {number}' in capsys.readouterr().out
    assert run(jobs)[jobs[0]].state is State.DONE


def test_what_slurm_refuses(cluster, tmp_path):
    options = slurm.Options('nowhere', 5, None, 0, {})
    with pytest.raises(UserError, match=r'Slurm takes no jobs: .*invalid partition'):
        run(fake_jobs(tmp_path, DONE), options)


def test_without_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', '')
    (job,) = fake_jobs(tmp_path, DONE)
    with pytest.raises(UserError, match=r'Slurm takes no jobs: .*srun'):
        run([job])
    job.folder.mkdir(parents=True)
    (job.folder / 'job.json').write_text('{"slurm": "3"}')
    with pytest.raises(UserError, match=r'was submitted to Slurm, which does not answer: .*squeue'):
        slurm.queue_of([job])


def test_options_reach_slurm():
    options = slurm.Options('gpu', 90, 4, 2, {'account': 'abc', 'cpus-per-task': '8'})
    assert options.parameters('uvpt-train') == {
        'name': 'uvpt-train',
        'timeout_min': 90,
        'slurm_partition': 'gpu',
        'slurm_array_parallelism': 4,
        'gpus_per_node': 2,
        'slurm_signal_delay_s': 120,
        'slurm_additional_parameters': {'account': 'abc', 'cpus-per-task': '8'},
    }


def test_submitit_alone_stops_a_job_and_goes_on(tmp_path):
    """What a Slurm would do to the job, by submitit's executor for one machine."""
    (job,) = fake_jobs(tmp_path, RESUMING)
    (entry,) = slurm.submit([job], OPTIONS, cluster='local')
    checkpoint = job.folder / 'checkpoint'
    wait_for(lambda: checkpoint.exists() and checkpoint.read_text())
    assert last_of(job_record_of(job.folder))['where'] == f'Slurm job {entry.job_id}'
    os.kill(int(checkpoint.read_text()), signal.SIGUSR2)  # what waits for the script
    assert entry.result() == 0
    assert job.done()
    assert [a.get('status') for a in job_record_of(job.folder)['attempts']] == [None, 0]


def test_a_job_that_cannot_run_again_stops_no_other(monkeypatch, tmp_path, capsys):
    jobs = fake_jobs(tmp_path, DONE, DONE)
    jobs[1] = replace(jobs[1], wants=tmp_path / 'missing')
    sent = []

    def finish(ready, *_):
        sent.extend(ready)
        for job in ready:
            job.folder.mkdir(parents=True)
            job.makes.write_text('{"mIoU19": 50.0}')

    finish(jobs)
    sent.clear()
    monkeypatch.setattr(slurm, 'queue_of', lambda _: {})
    monkeypatch.setattr(slurm, 'submit', finish)
    with Screen() as screen:
        slurm.run(jobs, OPTIONS, screen, again=jobs)
    assert sent == jobs[:1]
    assert 'job1/seed0 cannot run again' in capsys.readouterr().out
