"""The whole sweep, with stand-ins of the rows on MiniCity, killed once and called again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.errors import STOPPED
from mmseg_uvpt.sweep.attempt import is_running, job_record_of

REPOSITORY = Path(__file__).resolve().parents[2]
# the launchers in their order
SWEEP = [
    ('launcher_pretrain.py',),
    ('launcher_test.py', '--source-only'),
    ('launcher_pseudo_label.py',),
    ('launcher_train.py',),
    ('launcher_test.py',),
]
FORKING = 'tests/sweep/forking_launcher.py'
STAGES = ('pretrain', 'test_source', 'pseudo_label', 'train', 'test')
HALF = ('sss_swin-b', 'source-gta_mit-b5')  # both backbones, sources and pretrainings
ALL = ('sss', 'source-gta')


def command(*words: str) -> list[str]:
    return [sys.executable, *words]


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('city')
    make = ('tools/make_demo_data.py', str(root), '--train-frames', '4', '--val-frames', '1')
    converters = [
        (f'tools/convert_datasets/{name}.py', str(root / name), '--nproc', '1')
        for name in ('gta', 'synthia', 'cityscapes')
    ]
    for words in (make, *converters):
        subprocess.run(command(*words), cwd=REPOSITORY, check=True, capture_output=True)
    return root


@pytest.fixture
def launch(data, tmp_path, hear_ctrl_c):
    """Start a launcher on the sweep's work root and return its process."""
    work_root = tmp_path / 'sweep'

    def start(
        *words: str,
        change: str = 'default_hooks.logger.interval=4',
        configs: str = 'configs/rehearsal',
    ) -> subprocess.Popen:
        places = ('--config-root', configs, '--data-root', str(data))
        options = (*places, '--work-root', str(work_root), '--jobs-per-gpu', '2')
        return subprocess.Popen(
            command(FORKING, *words, *options, '--', '--cfg-options', change),
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
            preexec_fn=hear_ctrl_c,
        )

    start.work_root = work_root
    return start


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def folders(work_root: Path, stage: str) -> list[Path]:
    return sorted((work_root / 'seed0' / stage).iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(('rows', 'count', 'again'), [(HALF, 4, 1), (ALL, 8, 5)])
def test_the_whole_sweep_survives_sigkill(launch, rows, count, again):
    sweep = [(*words, '--only', *rows) for words in SWEEP]
    first = launch(*sweep[0])
    root = launch.work_root
    # until a job is finished and another has written a checkpoint
    while not (any(_finished(p.parent) for p in root.rglob('job.json')) and _begun(root)):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stdout.close()
    stopped = [p.parent for p in root.rglob('job.lock') if is_running(p.parent)]
    while any(map(is_running, stopped)):  # they end without their launcher
        time.sleep(0.05)
    before = {path: path.read_bytes() for path in root.rglob('job.json') if _finished(path.parent)}
    assert 1 <= len(before) < count

    outputs = [finish(launch(*words)) for words in sweep]

    for path, contents in before.items():
        assert path.read_bytes() == contents  # what was finished has not run again
    for stage in STAGES:
        found = folders(root, stage)
        assert len(found) == count
        for folder in found:
            attempts = job_record_of(folder)['attempts']
            assert attempts[-1].get('status', 0) == 0, folder  # none: nobody saw its end
            assert len(attempts) == 1 or stage == 'pretrain'
    starts = [
        json.loads((folder / 'run.json').read_text())['starts']
        for folder in folders(root, 'pretrain')
    ]
    assert any(len(s) == 2 and s[1]['first_iteration'] > 0 for s in starts)  # one was resumed
    assert all(output.count(' done ') >= count for output in outputs)

    _check_table(root, rows, count)
    records = {path: path.read_bytes() for path in root.rglob('job.json')}
    for words in sweep[-again:]:
        finish(launch(*words))  # nothing is left to do
    assert {path: path.read_bytes() for path in root.rglob('job.json')} == records


def _begun(root: Path) -> bool:
    return any(
        (path.parent / 'job.lock').exists()
        and is_running(path.parent)
        and not _finished(path.parent)
        for path in root.rglob('iter_5.pth')
    )


def _finished(folder: Path) -> bool:
    path = folder / 'run.json'
    return path.is_file() and 'finished' in json.loads(path.read_text())


def _check_table(root: Path, rows: tuple[str, ...], count: int) -> None:
    """The table has the rows, and what it says stands in the files of the single runs."""
    made = subprocess.run(
        command(
            *('tools/results_table.py', str(root), '--format', 'json'),
            *('--config-root', 'configs/rehearsal'),
        ),
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    whole = json.loads(made.stdout)['table']
    assert len(whole) == 24
    table = [record for record in whole if record['config'].startswith(rows)]
    assert len(table) == 3 * count
    for record in table:
        row = record['config'].removesuffix('-to-cityscapes.py')
        for name, stage in (('source_only', 'test_source'), ('adapted', 'test')):
            score = json.loads((root / f'seed0/{stage}/{row}/score.json').read_text())
            assert record[name] == pytest.approx(score[f'mIoU{record["classes"]}'])
        assert record['gain'] == pytest.approx(record['adapted'] - record['source_only'])
        assert (record['seeds'], record['iterations']) == (
            [0],
            [8],
        )  # as the stand-ins' configs say
        assert 0 < record['hours'] < 1
        assert record['hardware'] == [f'{os.cpu_count()} CPU cores']


@pytest.mark.slow
def test_variants_of_one_adaptation(launch, tmp_path):
    """Two ablations and the full method, from one source model and its labels."""
    row = 'sss_swin-b_gta5'
    root = tmp_path / 'configs/ablations'
    adaptation = f'uni_uvpt/{row}-to-cityscapes'
    for name, base, change in (
        (f'pretrain/{row}', f'pretrain/{row}', ''),
        (f'ablations/{adaptation}', adaptation, ''),
        (f'ablations/{adaptation}_views-1', adaptation, 'model = dict(view_scales=[1.0])'),
        (
            *(f'ablations/{adaptation}_correction-none', adaptation),
            'default_hooks = dict(label_correction=None)',
        ),
    ):
        path = root.parent / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        base = REPOSITORY / f'configs/rehearsal/{base}.py'
        path.write_text(f'_base_ = {str(base)!r}\n{change}\n')
    for words in SWEEP:
        finish(launch(*words, configs=str(root)))
    adapted = [row, f'{row}_correction-none', f'{row}_views-1']
    for stage in STAGES:
        made = [folder.name for folder in folders(launch.work_root, stage)]
        assert made == (adapted if stage in ('train', 'test') else [row])
    banks = [(launch.work_root / f'seed0/train/{name}/label_bank').is_dir() for name in adapted]
    assert banks == [True, False, True]
    table = command('tools/results_table.py', str(launch.work_root), '--format', 'json')
    table += ['--config-root', str(root)]
    made = subprocess.run(table, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    found = [record for record in json.loads(made)['table'] if record['classes'] == 19]
    assert [record['variant'] for record in found] == ['', 'correction-none', 'views-1']
    assert len({record['source_only'] for record in found}) == 1
    last = [last_checkpoint(launch.work_root / f'seed0/train/{name}') for name in adapted]
    states = [torch.load(path, weights_only=True)['state_dict'] for path in last]
    heads = {state['decode_head.conv_seg.weight'].numpy().tobytes() for state in states}
    assert len(heads) > 1  # scores of so few iterations may be the same
    assert all(record['gain'] is not None for record in found)


@pytest.mark.slow
def test_ctrl_c_ends_the_jobs_and_says_so(launch, tmp_path):
    words = ('launcher_pretrain.py', '--only', 'sss_swin-b_gta5', '--seeds', '7')
    process = launch(*words, change='train_cfg.max_iters=100000')
    folder = launch.work_root / 'seed7/pretrain/sss_swin-b_gta5'
    while not (folder / 'job.log').exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output.splitlines()[-1] == 'interrupted'
    assert not is_running(folder)
    last = job_record_of(folder)['attempts'][-1]
    assert last['stopped']
    assert last['status'] in (-signal.SIGTERM, STOPPED)  # before training began, or in it
