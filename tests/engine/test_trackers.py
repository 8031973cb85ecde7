"""Trackers of mmengine through our scripts."""

import pytest

from mmseg_uvpt.engine.scripts import pretrain

TEXT = """
_base_ = {base!r}
visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), {backend}])
"""
OFFLINE = "dict(type='WandbVisBackend', init_kwargs=dict(project='uvpt', mode='offline'))"


@pytest.mark.slow
def test_weights_and_biases_offline(source_config, data_root, tmp_path):
    """Its file holds the names of what is logged; `wandb sync` would upload it."""
    wandb = pytest.importorskip('wandb', reason='pip install wandb')
    config = tmp_path / 'tracked.py'
    config.write_text(TEXT.format(base=str(source_config), backend=OFFLINE))
    where = ['--work-dir', str(tmp_path / 'work'), '--data-root', str(data_root)]
    pretrain.main([str(config), *where])
    wandb.teardown()  # what writes the file is another process
    (file,) = (tmp_path / 'work').rglob('offline-run-*/*.wandb')
    held = file.read_bytes()
    assert all(name in held for name in (b'decode.loss_ce', b'mIoU19', b'uvpt'))
