"""Which model a job starts from: that of the work root, or else the released one."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.sweep import attempt
from mmseg_uvpt.sweep.cli import main
from mmseg_uvpt.sweep.jobs import Settings
from mmseg_uvpt.sweep.results_table import collect
from mmseg_uvpt.sweep.stages import list_jobs
from mmseg_uvpt.sweep.status import State, status_of
from mmseg_uvpt.sweep.table_formats import to_markdown

REPOSITORY = Path(__file__).resolve().parents[2]
ROW = 'sss_swin-b_gta5'
SOURCE = 'model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth'
ADAPTED = 'model/Uni-UVPT_models/SSS_Swin-B_GTAV_Cityscapes_Uni-UVPT_LP_56.2.pth'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A folder with the data's folder and both released files of a row."""
    (tmp_path / 'data/cityscapes').mkdir(parents=True)
    for name in (SOURCE, ADAPTED):
        touch(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(path: Path, text: str = '') -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def job_of(stage: str, source_only: bool = False):
    settings = Settings(REPOSITORY / 'configs', Path('w'), source_only=source_only)
    return list_jobs(stage, settings, [0], [ROW])[0]


def finish(folder: str, name: str, command: str = '') -> None:
    """Leave what a training leaves."""
    touch(Path(folder, ROW, name))
    touch(Path(folder, ROW, 'config.py'))
    start = {'command': command, 'started': '2026-01-01T10:00:05+00:00'}
    record = {'starts': [start], 'finished': '2026-01-01T11:00:05+00:00', 'iterations': 8}
    touch(Path(folder, ROW, 'run.json'), json.dumps(record))


def label(folder: str, checkpoint: str, finished: str | None = '2026') -> None:
    report = {'checkpoint': checkpoint, 'finished': finished}
    touch(Path(folder, ROW, 'train/pseudo_labels.json'), json.dumps(report))


def origin(job) -> str:
    return job.model.origin


def test_the_released_files_need_no_option():
    for job in (job_of('pseudo_label'), job_of('test'), job_of('test', source_only=True)):
        assert origin(job) == 'released'
        assert status_of(job).state is State.READY
    train = job_of('train')
    assert 'no complete pseudo labels' in status_of(train).note
    label('w/seed0/pseudo_label', SOURCE)
    assert status_of(train).state is State.READY
    words = train.command()
    assert words[words.index('--source-checkpoint') + 1] == SOURCE


@pytest.mark.parametrize('left', ['job.json', 'config.py', 'iter_5.pth', 'job.log'])
def test_a_begun_training_is_never_replaced(left, capsys):
    touch(Path('w/seed0/pretrain', ROW, 'job.lock'))  # looking at a job may leave that
    assert origin(job_of('pseudo_label')) == 'released'
    for stage in ('pretrain', 'train'):
        touch(Path('w/seed0', stage, ROW, left), '{}')
    places = ['--config-root', str(REPOSITORY / 'configs'), '--work-root', 'w', '--only', ROW]
    for words in (['pseudo_label'], ['train'], ['test'], ['test', '--source-only']):
        assert main(words[0], '', ['--list', *places, *words[1:]]) == 0
        head, line = capsys.readouterr().out.splitlines()
        assert line[head.index('model') :].startswith('missing input')
        assert re.search(r'not finished: run launcher_\w+\.py, or move it away for the rel', line)


def test_a_finished_training_comes_first():
    finish('w/seed0/pretrain', 'best_mIoU19_iter_8.pth')
    finish('w/seed0/train', 'best_mIoU19_iter_4.pth')
    for job in (job_of('pseudo_label'), job_of('test', source_only=True), job_of('train')):
        assert origin(job) == 'own'
        assert job.needs == Path('w/seed0/pretrain', ROW, 'best_mIoU19_iter_8.pth')
    assert job_of('test').needs == Path('w/seed0/train', ROW, 'best_mIoU19_iter_4.pth')


@pytest.mark.parametrize(
    ('asked', 'kept'), [('guarded', 'selected.pth'), ('target labels', 'best_mIoU19_iter_4.pth')]
)
def test_what_a_recipe_chose_is_what_is_scored(asked, kept):
    """By labels where it is the published practice, else without, also if that is the source."""
    finish('w/seed0/train', 'best_mIoU19_iter_4.pth')
    folder = Path('w/seed0/train', ROW)
    for name in ('selected.pth', 'iter_8.pth'):
        (folder / name).touch()
    (folder / 'selection.json').write_text(json.dumps({'asked': asked, 'selected': 0}))
    assert job_of('test').needs == folder / kept


def test_labels_and_trainings_stay_with_what_they_began_with():
    label('w/seed0/pseudo_label', SOURCE, finished=None)
    finish('w/seed0/pretrain', 'best_mIoU19_iter_8.pth')
    labels, train = job_of('pseudo_label'), job_of('train')
    assert (origin(labels), origin(train)) == ('released', 'own')
    label('w/seed0/pseudo_label', SOURCE)
    assert status_of(labels) == (
        State.DONE,
        f'w/seed0/pretrain/{ROW}/best_mIoU19_iter_8.pth is there now: run it again with --again',
    )
    assert f'labels of {SOURCE}' in status_of(train).note
    assert 'launcher_pseudo_label.py --again' in status_of(train).note

    command = f'python train.py x.py --source-checkpoint {SOURCE} --seed 0'
    finish('w/seed0/train', 'iter_2.pth', command)
    Path('w/seed0/train', ROW, 'run.json').write_text(
        json.dumps({'starts': [{'command': command}]})
    )
    assert status_of(train).state is State.READY
    words = train.command()
    assert words[words.index('--source-checkpoint') + 1] == SOURCE
    assert '--resume' in words

    attempt.set_aside(labels)  # as --again does
    assert origin(labels) == 'own'


def test_what_began_with_an_own_model_goes_on_with_no_other():
    label('w/seed0/pseudo_label', '/moved/since/best_mIoU19_iter_8.pth', finished=None)
    assert status_of(job_of('pseudo_label')).state is State.MISSING
    finish('w/seed0/pretrain', 'best_mIoU19_iter_8.pth')
    assert status_of(job_of('pseudo_label')).state is State.READY


def test_folders_of_version_0_1_count():
    command = shlex.join(['python', 'train.py', 'x.py', '--source-checkpoint', SOURCE])
    label('w/seed0-released-source/pseudo_label', SOURCE)
    finish('w/seed0-released-source/train', 'best_mIoU19_iter_4.pth', command)
    own = Path('w/seed0-released-source/train', ROW, 'best_mIoU19_iter_4.pth')
    for kind, stage, checkpoint, score in (
        ('source', 'test', own, 56.0),
        ('source', 'test_source', SOURCE, 50.0),
        ('adapted', 'test', ADAPTED, 57.0),
    ):
        folder = Path(f'w/seed0-released-{kind}', stage, ROW)
        touch(folder / 'score.json', json.dumps({'checkpoint': str(checkpoint), 'mIoU19': score}))
    jobs = [*map(job_of, ('pseudo_label', 'train', 'test')), job_of('test', source_only=True)]
    assert [status_of(job).state for job in jobs] == [State.DONE] * 4
    assert [origin(job) for job in jobs] == ['released', 'released', 'own', 'released']

    lines = to_markdown(collect(REPOSITORY / 'configs', [Path('w')])).splitlines()
    ours = [line.split(' | ')[5:9] for line in lines if line.startswith('| SSS Swin-B, GTA')]
    assert ours == [
        ['- / released', '', '57.0', ''],
        ['released / own, of the released source', '50.0', '56.0', '+6.0'],
    ]


def test_an_old_score_is_not_overwritten():
    folder = Path('w/seed0-released-adapted/test', ROW)
    touch(folder / 'score.json', json.dumps({'checkpoint': ADAPTED, 'mIoU19': 57.0}))
    assert job_of('test').done()
    finish('w/seed0/train', 'best_mIoU19_iter_4.pth')
    assert job_of('test').folder == Path('w/seed0/test', ROW)
    assert status_of(job_of('test')).state is State.READY


# through the door: a row of tiny released models, and MiniCity's place taken by noise


class InThisProcess:
    """What `attempt` uses of a `subprocess.Popen`; the script has ended when it is made."""

    def __init__(self, command, environment, log, lock):
        import contextlib
        import runpy
        import sys

        ended = subprocess.Popen(['true'], start_new_session=True)
        ended.wait()
        self.pid, self.status = ended.pid, 0
        with (
            pytest.MonkeyPatch.context() as patch,
            open(log, 'a') as file,
            contextlib.redirect_stdout(file),
        ):
            patch.setattr(sys, 'argv', command[1:])
            try:
                runpy.run_path(command[1], run_name='__main__')
            except SystemExit as end:
                self.status = end.code or 0

    def poll(self):
        return self.status

    wait = poll


@pytest.fixture
def tiny(here, monkeypatch) -> list[str]:
    """Options of the published launchers' names, for a row with released models."""
    random = np.random.default_rng(0)
    names = ['train/ulm/ulm_0', 'train/ulm/ulm_1', 'val/bonn/bonn_0']
    for name in names:
        image = here / f'cs/leftImg8bit/{name}_leftImg8bit.png'
        image.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), random.integers(0, 255, (80, 160, 3), np.uint8))
    truth = here / f'cs/gtFine/{names[-1]}_gtFine_labelTrainIds.png'
    truth.parent.mkdir(parents=True)
    cv2.imwrite(str(truth), random.integers(0, 19, (80, 160), np.uint8))
    init_default_scope('mmseg')
    for kind, name, file, more in (
        ('pretrain', f'{ROW}.py', SOURCE, ''),
        (
            'uni_uvpt',
            f'{ROW}-to-cityscapes.py',
            ADAPTED,
            f'model = dict(source_checkpoint={SOURCE!r})',
        ),
    ):
        base = REPOSITORY / 'configs/rehearsal' / kind / name
        touch(
            here / 'c' / kind / name,
            f'_base_ = {str(base)!r}\nreleased_checkpoint = {file!r}\n{more}\n',
        )
        model = MODELS.build(Config.fromfile(base).model)
        torch.save({'state_dict': model.state_dict(), 'meta': {}}, file)
    monkeypatch.setattr(attempt, '_spawn', InThisProcess)
    monkeypatch.setattr('mmseg_uvpt.sweep.local._STEP', 0.01)
    return ['--config-root', 'c', '--data_url', 'cs', '--train_url', 'w']


@pytest.mark.slow
def test_fast_evaluation_and_an_adaptation_of_a_released_source(tiny, here, capsys):
    def table() -> list[str]:
        lines = to_markdown(collect(here / 'c', [here / 'w'])).splitlines()
        return [line.split(' | ')[5] for line in lines[2:3]]

    assert main('test', '', tiny) == 0, capsys.readouterr().out
    score = here / 'w/seed0/test' / ROW / 'score.json'
    assert json.loads(score.read_text())['checkpoint'] == ADAPTED
    assert table() == ['- / released']
    short = ['--', '--cfg-options', 'train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    for stage, extra in (('pseudo_label', []), ('train', short), ('test', [])):
        assert main(stage, '', [*tiny, *extra]) == 0, capsys.readouterr().out
    assert json.loads(score.read_text())['checkpoint'].startswith(f'{here}/w/seed0/train/{ROW}/')
    assert table() == ['released / own, of the released source']
    touch(Path('w/seed0/pretrain', ROW, 'job.json'), '{}')
    capsys.readouterr()
    assert main('test', '', ['--source-only', '--list', *tiny]) == 0
    assert ' missing input ' in capsys.readouterr().out.splitlines()[1]
