"""What a bug report is asked for."""

import subprocess

import pytest
import torch

from mmseg_uvpt import environment
from mmseg_uvpt.ops import backends


@pytest.fixture
def printed(capsys) -> dict[str, str]:
    environment.main()
    return dict(line.split(': ', 1) for line in capsys.readouterr().out.split('\n') if ': ' in line)


def test_versions_device_backend_and_revision(printed):
    assert printed['PyTorch'] == torch.__version__
    assert {'Python', 'CUDA available', 'timm', 'onedl-mmsegmentation'} <= printed.keys()
    assert printed['deformable attention, cpu'] == backends.serving(torch.device('cpu'))
    assert 'host' not in printed
    commit = environment.git_revision()['commit']
    assert printed['installed'].startswith(f'checkout of {commit}')


def test_a_backend_that_is_forced_and_not_there_is_said(monkeypatch, capsys):
    monkeypatch.setattr(backends, '_forced', 'cuda')
    environment.main()
    assert 'attention, cpu: UVPT_OPS=cuda serves no tensors' in capsys.readouterr().out


def test_revision_of_a_checkout(tmp_path):
    assert environment.git_revision(tmp_path) == {'commit': None, 'dirty': None}
    git = ('git', '-C', str(tmp_path), '-c', 'user.name=n', '-c', 'user.email=e')
    subprocess.run([*git, 'init', '-q'], check=True)
    record = tmp_path / 'docs/record.json'
    record.parent.mkdir()
    for file in (tmp_path / 'file', record):
        file.write_text('as committed')
        subprocess.run([*git, 'add', str(file)], check=True)
    subprocess.run([*git, 'commit', '-qm', 'a commit'], check=True)
    found = environment.git_revision(tmp_path)
    assert len(found['commit']) == 40
    assert not found['dirty']
    record.write_text('of a run')
    assert not environment.git_revision(tmp_path)['dirty']
    (tmp_path / 'file').write_text('changed')
    assert environment.git_revision(tmp_path)['dirty']
