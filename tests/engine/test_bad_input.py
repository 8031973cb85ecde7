"""Each thing that can be missing or wrong is one clear error, and nothing is written."""

import os
import signal
import subprocess
import sys

import pytest
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, test, train
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY

SCRIPTS = ('pretrain.py', 'generate_pseudo_label.py', 'train.py', 'test.py')


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True
    )


@pytest.mark.parametrize('script', SCRIPTS)
def test_help_comes_before_heavy_imports(script):
    code = (
        'import runpy, sys, contextlib\n'
        f'sys.argv = [{script!r}, "--help"]\n'
        'with contextlib.suppress(SystemExit):\n'
        f'    runpy.run_path({script!r}, run_name="__main__")\n'
        'assert not {"torch", "mmengine", "cv2", "numpy"} & set(sys.modules)\n'
    )
    result = run('-c', code)
    assert result.returncode == 0, result.stderr
    assert f'example:\n  python {script} ' in result.stdout


@pytest.mark.parametrize(
    'command',
    [
        ('pretrain.py', 'no.py'),
        ('generate_pseudo_label.py', '--config=no.py', '--checkpoint=x', '--pseudo_label_dir=y'),
        ('train.py', 'no.py'),
        ('test.py', 'no.py', 'x.pth', '--eval', 'mIoU'),
    ],
    ids=SCRIPTS,
)
def test_missing_config_in_one_line(command):
    result = run(*command)
    assert result.returncode == 1
    assert result.stdout == ''
    (line,) = result.stderr.splitlines()
    assert line.startswith('error: config no.py does not exist')


def test_wrong_arguments():
    result = run('test.py', 'no.py', 'x.pth', '--eval', 'bbox')
    assert result.returncode == 2
    assert "invalid choice: 'bbox'" in result.stderr
    result = run('train.py', 'no.py', '--cfg-options', 'a')
    assert result.returncode == 2
    assert "'a' is not of the form key=value" in result.stderr


def test_broken_config(tmp_path):
    config = tmp_path / 'broken.py'
    config.write_text('_base_ = ["missing.py"]\n')
    with pytest.raises(UserError, match=r'broken\.py cannot be read: .*missing\.py'):
        pretrain.main([str(config)])


def arguments(command, source_config, adaptation_config, checkpoint, folder) -> list[str]:
    """Return complete arguments of a script, but for the data root."""
    checkpoint, work = str(checkpoint), ['--work-dir', str(folder)]
    if command is pretrain:
        return [str(source_config), *work]
    if command is train:
        return [str(adaptation_config), '--source-checkpoint', checkpoint, *work]
    if command is test:
        return [str(source_config), checkpoint, *work]
    names = ['--checkpoint', checkpoint, '--pseudo_label_dir', str(folder)]
    return ['--config', str(source_config), *names]


@pytest.fixture
def start(tmp_path, source_config, adaptation_config, finished):
    """Start a script with complete arguments and more; check that it leaves nothing behind."""

    def main(command, *more: str, checkpoint=finished / 'iter_4.pth'):
        folder = tmp_path / 'work'
        complete = arguments(command, source_config, adaptation_config, checkpoint, folder)
        try:
            command.main([*complete, *more])
        finally:
            assert not folder.exists()

    return main


@pytest.mark.parametrize('command', [pretrain, test, generate_pseudo_label])
def test_missing_data_root(start, tmp_path, command):
    with pytest.raises(UserError, match=r'data root .*nowhere/\w+ of .* does not exist'):
        start(command, '--data-root', str(tmp_path / 'nowhere'))


def test_missing_source_beside_cityscapes(start, tmp_path, data_root):
    (data_root / 'cityscapes').rename(tmp_path / 'cs')
    source = rf'data root {tmp_path}/gta of GTADataset .* beside which the others lie'
    with pytest.raises(UserError, match=source):
        start(pretrain, '--data-root', str(tmp_path / 'cs'))


@pytest.mark.parametrize('command', [train, test, generate_pseudo_label])
def test_missing_checkpoint(start, command):
    with pytest.raises(UserError, match=r'checkpoint no\.pth does not exist'):
        start(command, checkpoint='no.pth')


def test_missing_pseudo_labels(start, data_root):
    with pytest.raises(
        UserError, match=r'pseudo-label folder .*/tiny/train does not exist.*python'
    ):
        start(train, '--data-root', str(data_root))


def test_source_config_is_no_adaptation(source_config):
    with pytest.raises(UserError, match='is no adaptation'):
        train.main([str(source_config)])


def test_adaptation_is_no_source_config(adaptation_config):
    with pytest.raises(UserError, match=r'is an adaptation.*: python train\.py .*adapted\.py$'):
        pretrain.main([str(adaptation_config)])


def test_no_source_checkpoint(adaptation_config):
    with pytest.raises(UserError, match=r'^no source checkpoint given; .*--source-checkpoint FILE'):
        train.main([str(adaptation_config)])


def test_out_is_json(start, data_root):
    with pytest.raises(UserError, match=r'--out result\.pkl'):
        start(test, '--out', 'result.pkl', '--data-root', str(data_root))


def test_work_folder_is_a_file(source_config, data_root, tmp_path):
    file = tmp_path / 'file'
    file.write_text('mine')
    with pytest.raises(UserError, match='file is a file'):
        pretrain.main([str(source_config), '--work-dir', str(file), '--data-root', str(data_root)])
    assert file.read_text() == 'mine'


def test_image_truncated_in_the_middle_of_training(source_config, data_root, tmp_path):
    file = data_root / 'gta/images/00001.png'
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UserError, match=rf'^{file} is not a whole PNG') as error:
        pretrain.main(
            [
                *(str(source_config), '--work-dir', str(tmp_path / 'run')),
                *('--data-root', str(data_root)),
                *('--cfg-options', 'train_dataloader.num_workers=1'),
            ]
        )
    assert 'Traceback' not in str(error.value)


class Refusing(Dataset):
    """Raises an error that a user can mend."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        raise UserError('frame.png is damaged:\nget it again')


def test_a_worker_that_is_killed():
    class Deadly(Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGKILL)

    with (
        pytest.raises(UserError, match=r'want of memory.*num_workers=1.* the same command again'),
        readable_failures('run'),
    ):
        list(DataLoader(Deadly(), num_workers=1))


def test_error_of_a_worker_is_unwrapped():
    with pytest.raises(UserError) as error, readable_failures('work'):
        list(DataLoader(Refusing(), num_workers=1))
    assert str(error.value) == 'frame.png is damaged:\nget it again'


def refusal(source_config, data_root, folder, *more: str) -> str:
    """Return the one error with which a pretraining ends."""
    data = ['--data-root', str(data_root), '--work-dir', str(folder)]
    with pytest.raises(UserError) as error:
        pretrain.main([str(source_config), *data, *more])
    assert '\n' not in str(error.value)
    return str(error.value)


def test_work_folder_that_cannot_be_made(source_config, data_root):
    message = refusal(source_config, data_root, '/proc/nothing/here')
    assert message.startswith('cannot write /proc/nothing')
    assert '--resume' not in message


@pytest.mark.parametrize(
    ('option', 'reason'),
    [
        ('model.backbone.depths=(1,1)', 'list index out of range'),
        ('optim_wrapper.optimizer.betas=0.9', 'not subscriptable'),
    ],
)
def test_config_that_cannot_be_built(source_config, data_root, tmp_path, option, reason):
    message = refusal(source_config, data_root, tmp_path / 'run', '--cfg-options', option)
    assert message.startswith(f'config {source_config} cannot be run: ')
    assert f'. Mend it, or what --cfg-options sets: {option}' in message
    assert reason in message


def test_error_while_training_keeps_its_traceback(source_config, data_root, tmp_path, monkeypatch):
    def fail(self, data_batch):
        raise TypeError('a mistake of ours')

    monkeypatch.setattr('mmengine.runner.IterBasedTrainLoop.run_iter', fail)
    data = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'run')]
    with pytest.raises(
        UserError, match=r'TypeError: a mistake of ours\. .*\.log has the traceback$'
    ):
        pretrain.main([str(source_config), *data])
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'Traceback (most recent call last):' in log.read_text()
    assert 'in fail\n' in log.read_text()


def test_no_workers_that_persist():
    from mmseg_uvpt.engine.config.complete import drop_unused

    loader = {'num_workers': 0, 'persistent_workers': True, 'prefetch_factor': 2}
    other = {'num_workers': 1, 'persistent_workers': True}
    cfg = Config({'train_dataloader': dict(loader), 'val_dataloader': other})
    cfg.test_dataloader = None
    drop_unused(cfg)
    assert cfg.train_dataloader == {'num_workers': 0}
    assert cfg.val_dataloader == other


@pytest.mark.parametrize('seed', ['-1', '4294967296', 'x'])
def test_seed_that_numpy_refuses(seed, capsys):
    with pytest.raises(SystemExit):
        pretrain.main(['no.py', '--seed', seed])
    assert f"argument --seed: '{seed}' is not a whole number from 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (PermissionError(13, 'Permission denied', 'a.log'), 'cannot use a.log: Permission denied'),
        (OSError(28, 'No space left on device'), 'cannot write a file of the run in work: No spa'),
        (FileNotFoundError('Caught\nTraceback\nlast line'), 'cannot use .* in work: last line'),
    ],
)
def test_failing_file_is_one_line_with_a_cure(error, message):
    ends = pytest.raises(UserError, match=f'^{message}.* and run the same command again$')
    with ends, readable_failures('work'):
        raise error


def test_unwritten_file_gets_the_cure_of_the_script():
    refused = UserError('cannot write x: File too large; nothing was lost')
    refused.__cause__ = OSError(27, 'File too large')
    with pytest.raises(UserError) as error, readable_failures('work', lambda: 'resume'):
        raise refused
    assert str(error.value) == f'{refused}. Free some space and resume'


def test_data_root_replaces_the_leading_folder(finished, miniature):
    from argparse import Namespace

    from mmseg_uvpt.engine.config.resolve import resolve

    recipe = REPOSITORY / 'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'
    labels = 'cityscapes/pretrain/SSS_Swin-B_GTAV_Cityscapes_50.5/train'

    def roots(config, data_root=None, options=()):
        cfg = resolve(Namespace(config=str(config), data_root=data_root, cfg_options=options))
        hook = cfg.default_hooks.get('label_correction', {})
        return cfg.val_dataloader.dataset.data_root, hook.get('pseudo_label_dir')

    assert roots(recipe) == ('data/cityscapes', f'data/{labels}')
    assert roots(recipe, '/mnt/sets') == ('/mnt/sets/cityscapes', f'/mnt/sets/{labels}')
    assert roots(recipe, None, ['data_root=/a/b/']) == ('/a/b/cityscapes', f'/a/b/{labels}')
    # a resolved config is a config too: it stays where it is, and can be moved again
    resolved = finished / 'config.py'
    assert roots(resolved)[0] == str(miniature / 'data/cityscapes')
    assert roots(resolved, 'elsewhere')[0] == 'elsewhere/cityscapes'
    assert Config.fromfile(resolved).uvpt.data_root == str(miniature / 'data')
