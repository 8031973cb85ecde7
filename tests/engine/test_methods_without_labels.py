"""Methods without labels, and anchors, by the command that a user types."""

from pathlib import Path

import pytest
import torch

from mmseg_uvpt.engine.scripts import train

BASE = Path(__file__).resolve().parents[2] / 'configs/_base_/methods.py'
ANCHORS = """[
    dict(type='PullToSource'), dict(type='RestoreWeights'), dict(type='SourceConsistency')]"""
TEXT = """
_base_ = ['{config}', '{base}']
model = dict(**_base_.{method}, anchors={anchors})
default_hooks = dict(label_correction=None)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=[
    dict(type='LoadImageChecked'), dict(type='Resize', scale=(96, 48), keep_ratio=True),
    dict(type='CropWithBox', crop_size=(32, 32)), dict(type='RandomFlip', prob=0.5),
    *_base_.demo_two_looks[4:]]))
"""


@pytest.mark.parametrize(
    ('method', 'anchors'),
    [('tent', ()), ('information', ()), ('mean_teacher', ANCHORS)],
    ids=['tent', 'information', 'mean_teacher-with-anchors'],
)
def test_a_resumed_run_goes_on_to_the_bit(
    tmp_path, miniature, finished, adaptation_config, method, anchors
):
    config, folder = tmp_path / 'method.py', tmp_path / 'run'
    fields = {'config': adaptation_config, 'base': BASE, 'method': method, 'anchors': anchors}
    config.write_text(TEXT.format(**fields))
    command = [str(config), '--source-checkpoint', str(finished / 'iter_4.pth')]
    command += ['--work-dir', str(folder), '--data-root', str(miniature / 'data'), '--no-validate']
    train.main(command)
    last = folder / 'iter_4.pth'
    whole = _tensors(torch.load(last, weights_only=False))
    halfway = _tensors(torch.load(folder / 'iter_2.pth', weights_only=False))
    changed = {name for name, tensor in whole.items() if not torch.equal(tensor, halfway[name])}
    assert any(name.startswith('decode_head') for name in changed)
    copies = {name for name in whole if name.startswith('anchors.')}
    assert bool(copies) == bool(anchors)
    assert not changed & copies
    last.unlink()
    train.main([*command, '--resume'])
    resumed = _tensors(torch.load(last, weights_only=False))
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not torch.equal(resumed[name], whole[name])]


def _tensors(checkpoint: dict) -> dict[str, torch.Tensor]:
    """Return the weights that predict, those that are trained, and the method's state."""
    method = checkpoint['method']
    trained = {f'trained.{name}': tensor for name, tensor in method['trained'].items()}
    return checkpoint['state_dict'] | trained | method['state']
