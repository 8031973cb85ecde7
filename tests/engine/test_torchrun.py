"""Two processes on the CPU, started by torchrun, train and score as one does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmseg_uvpt.engine import pretrain, pseudo_label, test
from mmseg_uvpt.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]


def torchrun(script: str, *arguments: object) -> None:
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2']
    done = subprocess.run(
        [*command, REPOSITORY / script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def weights(path: Path) -> dict:
    return torch.load(path, weights_only=True)['state_dict']


@pytest.fixture
def place(miniature) -> list[str]:
    return ['--data-root', str(miniature / 'data')]


def test_two_processes_train_as_one_does(tmp_path, source_config, place):
    """Batches, batch norms, gradients: weights agree after four iterations."""
    arguments = [str(source_config), *place, '--cfg-options', 'train_dataloader.batch_size=1']
    torchrun('pretrain.py', *arguments, '--work-dir', tmp_path / 'two')
    arguments[-1] = 'train_dataloader.batch_size=2'
    pretrain.main([*arguments, '--work-dir', str(tmp_path / 'one')])
    one, two = (weights(tmp_path / folder / 'iter_4.pth') for folder in ('one', 'two'))
    before = weights(tmp_path / 'one/iter_2.pth')
    assert list(one) == list(two)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=5e-4, msg=name)
    assert sum(not torch.equal(before[name], tensor) for name, tensor in one.items()) > len(one) / 2


def test_two_processes_score_as_one_does(tmp_path, source_config, finished, place):
    arguments = [str(source_config), str(finished / 'iter_4.pth'), *place, '--out']
    torchrun('test.py', *arguments, tmp_path / 'two.json', '--work-dir', tmp_path / 'two')
    test.main([*arguments, str(tmp_path / 'one.json'), '--work-dir', str(tmp_path / 'one')])
    one, two = (json.loads((tmp_path / f'{n}.json').read_text()) for n in ('one', 'two'))
    for key in ('frames', 'intersection', 'union', 'mIoU'):
        assert one[key] == two[key]


def test_two_processes_adapt_and_are_resumed(tmp_path, adaptation_config, finished, place):
    """To the bit, though the run goes on from the checkpoint in the middle."""
    labels, run = tmp_path / 'labels', tmp_path / 'run'
    source = str(finished / 'iter_4.pth')
    options = ['--checkpoint', source, '--pseudo_label_dir', str(labels), *place]
    pseudo_label.main(['--config', str(adaptation_config), *options])
    arguments = [str(adaptation_config), '--source-checkpoint', source, *place, '--work-dir', run]
    arguments += ['--pseudo-label-dir', labels]
    torchrun('train.py', *arguments)
    whole = weights(run / 'iter_4.pth')
    bank = {path.name: path.read_bytes() for path in (run / 'label_bank').iterdir()}
    (run / 'iter_4.pth').unlink()
    torchrun('train.py', *arguments, '--resume')
    for name, tensor in weights(run / 'iter_4.pth').items():
        assert torch.equal(tensor, whole[name]), name
    assert bank == {path.name: path.read_bytes() for path in (run / 'label_bank').iterdir()}


def test_a_launcher_without_its_processes(tmp_path, source_config, place):
    arguments = [str(source_config), '--work-dir', str(tmp_path / 'run'), *place]
    with pytest.raises(UserError, match='--launcher pytorch is for processes that torchrun starts'):
        pretrain.main([*arguments, '--launcher', 'pytorch'])
    with pytest.raises(UserError, match='--launcher mpi needs GPUs'):
        pretrain.main([*arguments, '--launcher', 'mpi'])
