"""Where a config's data sets end up."""

from argparse import Namespace
from pathlib import Path

import pytest

from mmseg_uvpt.engine.configuration import require_file, resolve
from mmseg_uvpt.errors import UserError

DEMO = 'configs/demo/uni-uvpt_swin-nano.py'


def resolved(config: Path | str, data_root: str | None = None):
    return resolve(Namespace(config=str(config), data_root=data_root, cfg_options=[]))


@pytest.mark.parametrize('chosen', [None, 'data/other', '/elsewhere'])
def test_a_resolved_config_resolves_to_the_same(chosen, tmp_path):
    """The demo's root lies below ``data``, which itself stands for the root in recipes."""
    first = resolved(DEMO, chosen)
    root = chosen or 'data/minicity'
    assert first.val_dataloader.dataset.data_root == f'{root}/cityscapes'
    first.dump(tmp_path / 'config.py')
    again = resolved(tmp_path / 'config.py')
    assert again.to_dict() == first.to_dict()
    moved = resolved(tmp_path / 'config.py', '/new')
    assert moved.val_dataloader.dataset.data_root == '/new/cityscapes'
    hook = moved.default_hooks.label_correction
    assert hook.pseudo_label_dir == '/new/cityscapes/pretrain/demo/train'


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r'checkpoint .* is a folder, not a file: get it'):
        require_file(tmp_path, 'checkpoint', 'get it')
