"""A wheel in an empty environment, far from the checkout: the four steps, by `uvpt` alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def output_of(*command: str | Path, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={'PATH': '/usr/bin:/bin', **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def uvpt(tmp_path_factory) -> Path:
    """The program of an environment that was empty; torch and all others come from PyPI.

    The wheel is built of a source distribution, which has all that belongs into it.
    """
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    kept = shutil.ignore_patterns('.git', '.venv', 'work_dirs', 'data', '__pycache__', '*.so')
    shutil.copytree(REPOSITORY, source, ignore=kept)
    (source / 'data').mkdir()
    shutil.copy(REPOSITORY / 'data/README.md', source / 'data')
    pip = ('-m', 'pip', '--disable-pip-version-check')
    output_of(sys.executable, 'setup.py', '-q', 'sdist', '-d', folder, folder=source)
    packed = next(folder.glob('*.tar.gz'))
    output_of(sys.executable, *pip, 'wheel', '--no-deps', '-w', folder, packed, folder=folder)
    output_of(sys.executable, '-m', 'venv', folder / 'env', folder=folder)
    wheel, pins = next(folder.glob('*.whl')), REPOSITORY / 'requirements.txt'
    output_of(folder / 'env/bin/python', *pip, 'install', wheel, '-c', pins, folder=folder)
    shutil.rmtree(source)
    return folder / 'env/bin/uvpt'


@pytest.mark.slow
def test_the_demo_runs_from_a_wheel(uvpt, tmp_path):
    """It renders, converts, pretrains and adapts: each is a command that it prints.

    On the path there is no compiler: plain PyTorch serves.
    """
    quick = ('--train-frames', '6', '--val-frames', '2', '--iterations', '4')
    told = output_of(
        *(uvpt, 'demo', '--backbone', 'swin', *quick), folder=tmp_path, PATH='', OMP_NUM_THREADS='1'
    )
    logs = (tmp_path / 'work_dirs/demo').rglob('logs/*.log')
    lines = [*told.splitlines(), *(line for log in logs for line in log.read_text().splitlines())]
    typed = [line.split()[1:3] for line in lines if line.startswith('$ ')]
    assert {program for program, _ in typed} == {'uvpt'}
    steps = {'demo-data', 'convert', 'pretrain', 'adapt', 'train', 'test', 'predict', 'report'}
    assert {name for _, name in typed} == steps
    adapted = tmp_path / 'work_dirs/demo/swin-seed0/adapted'
    assert f'{adapted}/report.html' in told
    assert (adapted / 'report.html').is_file()
    found = output_of(uvpt.parent / 'python', '-m', 'mmseg_uvpt.environment', folder=tmp_path)
    assert 'installed: as a wheel' in found
    listed = output_of(uvpt, 'results', folder=tmp_path)
    assert 'SSS Swin-B, GTA' in listed
    data = next((uvpt.parents[1] / 'lib').glob('python3*')) / 'site-packages/mmseg_uvpt/_data'
    for page in ('data/README.md', 'model/README.md', 'docs/training.md', 'docs/decisions/data.md'):
        assert (data / page).is_file()
