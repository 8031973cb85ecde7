"""What needs no code runs none: results, records, the zoo, checkpoints, banks, data."""

import contextlib
import json
import pickle
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import readers
import torch
from damages import RunsCode, marker_of

TOOLS = readers.REPOSITORY / 'tools'


def _run(tool: str, *arguments: object) -> None:
    """Run a tool in this process; it may end in an error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        patch.chdir(readers.REPOSITORY)
        with contextlib.suppress(SystemExit):
            runpy.run_path(str(TOOLS / f'{tool}.py'), run_name='__main__')


@pytest.fixture
def hostile(tmp_path):
    """Return a function that writes code to a file, in the form that its name asks for."""
    marker = marker_of(tmp_path / 'x')

    def write(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.py':
            path.write_text(f'import os\nos.mkdir({str(marker)!r})\n')
        elif path.suffix == '.pth':
            contents = {'state_dict': {'a': torch.zeros(1)}, 'meta': RunsCode(marker)}
            torch.save(contents, path)
        else:
            path.write_bytes(pickle.dumps(RunsCode(marker)))
        return path

    yield write
    assert not marker.exists(), 'code of a file was run'


def test_the_file_is_hostile(hostile, tmp_path):
    """Were it run, it would show."""
    pickle.loads(hostile(tmp_path / 'a.pkl').read_bytes())
    assert marker_of(tmp_path / 'x').is_dir()
    marker_of(tmp_path / 'x').rmdir()


@pytest.mark.parametrize('name', ['score.json', 'run.json', 'environment.json'])
def test_results(hostile, tmp_path, name):
    row = 'sss_swin-b_gta5'
    for stage in ('train', 'test', 'test_source'):
        folder = tmp_path / 'seed0' / stage / row
        hostile(folder / 'config.py')
        hostile(folder / 'iter_4.pth')
        hostile(folder / name)
    _run('results_table', tmp_path, '--format', 'json')
    for stage in ('train', 'test', 'test_source'):
        (tmp_path / 'seed0' / stage / row / name).write_text(json.dumps(readers.SCORE))
    _run('results_table', tmp_path, '--format', 'json')


@pytest.mark.parametrize('command', ['list', 'check', 'verify'])
def test_zoo(hostile, tmp_path, command):
    from mmseg_uvpt.checkpoints.zoo import read_zoo

    for entry in read_zoo():
        hostile(tmp_path / entry.file)
    _run('model_zoo', command, '--model-root', tmp_path, '--only', 'SSS_Swin-B_GTAV_*')


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_exported_checkpoints(hostile, tmp_path, suffix):
    evil = hostile(tmp_path / f'evil{suffix}')
    readers._exported(tmp_path)
    _run('export_checkpoint', 'strip', evil, tmp_path / 'a.pth')
    for command, good in (('split', 'adapted.pth'), ('join', 'prompts.safetensors')):
        _run('export_checkpoint', command, evil, tmp_path / 'source.pth', tmp_path / 'b.pth')
        _run('export_checkpoint', command, tmp_path / good, evil, tmp_path / 'c.pth')
    assert not [name for name in 'abc' if (tmp_path / f'{name}.pth').exists()]


def test_data(hostile, tmp_path):
    for name in ('images/00001.png', 'labels/00001.png', 'sample_class_stats.json', 'config.py'):
        hostile(tmp_path / 'gta' / name)
    shutil.copytree(tmp_path / 'gta', tmp_path / 'other/gta')
    _run('check_data', tmp_path / 'gta')
    _run('convert_datasets/gta', tmp_path / 'gta', '--nproc', 1)
