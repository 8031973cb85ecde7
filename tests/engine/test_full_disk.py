"""A training whose file system fills up ends in one error, and goes on once there is space."""

import subprocess

import pytest

from mmseg_uvpt.engine.scripts import pretrain
from mmseg_uvpt.errors import UserError


@pytest.fixture
def small(tmp_path):
    """Return a function that gives a folder's file system another size."""
    place = tmp_path / 'small'
    place.mkdir()

    def mount(size: str, *more: str) -> None:
        options = ['-t', 'tmpfs', '-o', ','.join([*more, f'size={size}'])]
        try:
            done = subprocess.run(['mount', *options, 'tmpfs', place], capture_output=True)
        except OSError:
            done = None
        if done is None or done.returncode:
            pytest.skip('a file system cannot be mounted here')

    mount('300k')
    yield place, lambda size: mount(size, 'remount')
    subprocess.run(['umount', '--lazy', str(place)], check=True)


def test_training_goes_on_once_there_is_space(small, source_config, data_root):
    place, resize = small
    run = [str(source_config), '--work-dir', str(place / 'run'), '--data-root', str(data_root)]
    with pytest.raises(UserError, match=r'cannot write .*iter_2\.pth: No space left') as error:
        pretrain.main(run)
    assert '--resume' in str(error.value)
    assert not list((place / 'run').glob('**/*.part'))
    assert not list((place / 'run').glob('*.pth'))
    resize('64m')
    pretrain.main([*run, '--resume'])
    assert (place / 'run/iter_4.pth').is_file()
