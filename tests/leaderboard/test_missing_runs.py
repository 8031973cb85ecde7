"""Which runs are made, in which order, and when it ends."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from made_up_records import write_source

from mmseg_uvpt.adapting.command_stages import Stage, StageFailed
from mmseg_uvpt.demo.settings import Settings
from mmseg_uvpt.errors import STOPPED, UserError
from mmseg_uvpt.file_lock import acquire
from mmseg_uvpt.files import write_json
from mmseg_uvpt.leaderboard import missing_runs
from mmseg_uvpt.leaderboard.missing_runs import make_missing_runs
from mmseg_uvpt.leaderboard.plan import planned_runs
from mmseg_uvpt.leaderboard.run_record import path_of, write_record
from mmseg_uvpt.shipped import CHECKOUT

REFUSED = -1000  # no exit status: what is there was made by other commands, say
RUNS = [Settings(seed=s, method=m, backbone='swin') for s in (0, 1) for m in ('uni-uvpt', 'adabn')]


@pytest.fixture
def made(monkeypatch):
    """Runs that are made, of an hour each; statuses that runs fail with are in ``failing``."""

    class Made(list):
        failing: dict[tuple[str, int], int]

    done, clock = Made(), [0.0]
    done.failing = {}

    def make(run, root, records):
        clock[0] += 3600
        done.append((run.row, run.seed))
        if status := done.failing.get((run.row, run.seed)):
            raise StageFailed('it failed', status) if status != REFUSED else UserError('refused')
        write_record(path_of(records, run), {})

    monkeypatch.setattr(missing_runs, '_make', make)
    monkeypatch.setattr(missing_runs, 'time', SimpleNamespace(monotonic=lambda: clock[0]))
    return done


def test_what_is_missing_is_run_until_the_time_is_over(made, tmp_path, capsys):
    assert make_missing_runs(RUNS, tmp_path, tmp_path, hours=0) == 0
    assert made == []
    assert 'next: uni-uvpt of swin, seed 0\n' in capsys.readouterr().out
    make_missing_runs(RUNS, tmp_path, tmp_path, hours=1.5)  # the second one is in progress then
    assert made == [('uni-uvpt', 0), ('adabn', 0)]
    said = capsys.readouterr().out
    assert 'adabn of swin, seed 0 took 60.0 minutes' in said
    assert 'next: uni-uvpt of swin, seed 1 (3 of 4, 2.00 of 1.5 h)' in said
    make_missing_runs(RUNS, tmp_path, tmp_path, hours=9)
    assert made == [(run.row, run.seed) for run in RUNS]
    assert '2 of 4 runs are there' in capsys.readouterr().out


def test_a_run_that_fails_is_passed_over(made, tmp_path):
    (tmp_path / 'swin-seed0/done').mkdir(parents=True)
    (tmp_path / 'swin-seed0/done/test_source.json').touch()
    made.failing = {('uni-uvpt', 0): REFUSED, ('uni-uvpt', 1): 1}
    assert make_missing_runs(RUNS, tmp_path, tmp_path, hours=9) == 2
    # of seed 1 there is no source model, so nothing else is tried with it
    assert made == [('uni-uvpt', 0), ('adabn', 0), ('uni-uvpt', 1)]


@pytest.mark.parametrize('status', [STOPPED, -9])
def test_a_run_that_was_ended_ends_all(made, status, tmp_path):
    made.failing = {('uni-uvpt', 0): status}
    with pytest.raises(UserError, match='it failed'):
        make_missing_runs(RUNS, tmp_path, tmp_path, hours=9)
    assert made == [('uni-uvpt', 0)]


def test_one_process_at_a_time(made, tmp_path):
    lock = acquire(tmp_path / 'leaderboard.lock', 0)
    with pytest.raises(UserError, match='runs are being made in'):
        make_missing_runs(RUNS, tmp_path, tmp_path, hours=9)
    os.close(lock)
    make_missing_runs(RUNS, tmp_path, tmp_path, hours=1)
    assert made


def test_a_source_model_of_others_is_refused_before_it_is_adapted(monkeypatch, tmp_path, capsys):
    """By what there is in the end: the same streets may give the same weights here.

    Whatever labels the run makes of its own: some rows make others than most.
    """
    root, records, ran = tmp_path / 'swin-seed0', tmp_path / 'records', []
    monkeypatch.setattr(
        missing_runs.chain,
        'stages',
        lambda *_: iter([Stage(n, n, ()) for n in ('test_source', 'labels_of_a_row', 'adapt')]),
    )

    def run_each(stages, root, count):
        for stage in stages:
            ran.append(stage.name)
            write_json(root / f'done/{stage.name}.json', {})

    monkeypatch.setattr(missing_runs, 'run_each', run_each)
    (root / 'pretrain').mkdir(parents=True)
    tensors = {'decode_head.conv_seg.weight': torch.ones(1)}
    torch.save({'state_dict': tensors}, root / 'pretrain/iter_9.pth')
    write_source(records, 0, 0.5)  # of which another machine made a record
    assert make_missing_runs(RUNS[:1], tmp_path, records, hours=1) == 1
    assert ran == ['test_source']
    said = capsys.readouterr().out
    assert 'source_seed0.json is of a source model that is not in' in said
    assert 'source_seed0.json is of another source model than that in' in said


@pytest.mark.parametrize('flags', ['avx2', 'avx2 avx512f'])
def test_machines_with_and_without_avx512_compute_alike(monkeypatch, tmp_path, flags):
    """What is set already stays."""
    cpu, environment = tmp_path / 'cpuinfo', {'OPENBLAS_CORETYPE': 'HASWELL'}
    cpu.write_text(f'flags : fpu {flags}\n')
    monkeypatch.setattr(missing_runs, '_CPU', cpu)
    monkeypatch.setattr(os, 'environ', environment)
    missing_runs.compute_alike()
    assert environment['OMP_NUM_THREADS'] == '1'
    assert environment['OPENBLAS_CORETYPE'] == 'HASWELL'
    assert ('ATEN_CPU_CAPABILITY' in environment) == ('avx512f' in flags)


def test_the_plan():
    runs = planned_runs((0, 4), ('efficientnet-lite0', 'swin'), iterations=3)
    rows = list(dict.fromkeys(run.row for run in runs))
    assert rows[:2] == ['uni-uvpt', 'adabn']  # the baselines
    groups = [rows.index(row) for row in ('mean-teacher', 'uni-uvpt_Head', 'uni-uvpt_queue-500')]
    assert groups == sorted(groups)
    assert not [row for row in rows if '_tuner-' in row]
    assert len(set(runs)) == len(runs)
    for run in runs:
        run.require_fit()
        assert run.iterations == 3
    fit = {(run.backbone, run.tuner) for run in runs}
    assert ('swin', 'LoRA') in fit
    assert ('efficientnet-lite0', 'LoRA') not in fit
    first = [(run.seed, run.backbone) for run in runs if run.row == 'uni-uvpt']
    assert first == [(s, b) for s in (0, 4) for b in ('efficientnet-lite0', 'swin')]


def leaderboard(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, 'tools/leaderboard.py', *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)


def test_the_tool_says_what_is_wrong(tmp_path):
    run = leaderboard('run', '--rows', 'nothing', '--work-dir', tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith('error: --rows nothing: there are uni-uvpt, adabn, ')
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # an interpreter more
def test_a_table_is_all_that_is_printed():
    """What mmseg prints when it is imported would stand before it."""
    table = leaderboard('table', '--format', 'csv').stdout
    assert table.startswith('backbone,method,')


@pytest.mark.slow
def test_from_nothing_to_a_table(tmp_path):
    """Two methods and a tuner: one source model, a record each, and the table of a page."""
    quick = ['--train-frames', 4, '--val-frames', 2, '--iterations', 4, '--work-dir', tmp_path]
    rows = ['uni-uvpt', 'adabn', 'uni-uvpt_Head']
    run = leaderboard(
        *('run', '--backbones', 'swin', '--seeds', 0, '--rows', *rows, *quick, '--hours', 1)
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert 'The label correction, against the truth that no training sees' in run.stdout
    records = tmp_path / 'records/train_frames=4-val_frames=2-iterations=4'
    found = {path.stem for path in (records / 'swin').iterdir()}
    assert found == {f'{row}_seed0' for row in ('source', *rows)}
    record = json.loads((records / 'swin/uni-uvpt_Head_seed0.json').read_text())
    assert record['tuner'] == 'Head'
    assert record['parameters']['prompts'] == 0 < record['parameters']['trainable']
    assert len(list(tmp_path.glob('*/pretrain'))) == 1
    page = tmp_path / 'page.md'
    page.write_text('<!-- made by tools/leaderboard.py -->\n<!-- end of what it made -->\n')
    table = leaderboard('table', '--records', records, '--page', page)
    assert table.returncode == 0, table.stderr
    lines = [line for line in page.read_text().splitlines() if line.startswith('| swin')]
    assert [line.split(' | ')[1] for line in lines] == ['uni-uvpt', 'adabn', 'uni-uvpt']
