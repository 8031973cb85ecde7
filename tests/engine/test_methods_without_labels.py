"""Methods without labels, and anchors, by the command that a user types."""

import re
from pathlib import Path

import killed_runs
import pytest
import torch

from mmseg_uvpt.engine.scripts import train
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY

BASE = REPOSITORY / 'configs/_base_/methods.py'
ANCHORS = """[
    dict(type='PullToSource'), dict(type='RestoreWeights'), dict(type='SourceConsistency')]"""
TEXT = """
_base_ = ['{config}', '{base}']
model = dict(**{method}, anchors={anchors})
default_hooks = dict(label_correction=None, selection=None)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=[
    dict(type='LoadImageChecked'), dict(type='Resize', scale=(96, 48), keep_ratio=True),
    dict(type='CropWithBox', crop_size=(32, 32)), dict(type='RandomFlip', prob=0.5),
    *_base_.demo_two_looks[4:]]))
"""


@pytest.fixture
def command(tmp_path, miniature, finished, adaptation_config):
    """Return a function that writes a config of a method; it returns arguments of train.py."""

    def write(method: str, anchors: str) -> list[str]:
        config = tmp_path / 'method.py'
        fields = {'config': adaptation_config, 'base': BASE, 'method': method, 'anchors': anchors}
        config.write_text(TEXT.format(**fields))
        place = ['--work-dir', str(tmp_path / 'run'), '--data-root', str(miniature / 'data')]
        source = ['--source-checkpoint', str(finished / 'iter_4.pth')]
        return [str(config), *source, *place, '--no-validate']

    return write


SLOW = pytest.mark.slow  # test_adapt_stream.py trains by Tent


@pytest.mark.parametrize(
    ('method', 'anchors'),
    [
        pytest.param('mean_teacher', ANCHORS, id='mean_teacher-with-anchors'),
        pytest.param('tent', '()', id='tent', marks=SLOW),
        pytest.param('information', '()', id='information', marks=SLOW),
    ],
)
def test_a_resumed_run_goes_on_to_the_bit(tmp_path, command, method, anchors):
    arguments = command(f'_base_.{method}', anchors)
    folder = tmp_path / 'run'
    train.main(arguments)
    last = folder / 'iter_4.pth'
    whole = _tensors(torch.load(last, weights_only=True))
    halfway = _tensors(torch.load(folder / 'iter_2.pth', weights_only=True))
    changed = {name for name, tensor in whole.items() if not torch.equal(tensor, halfway[name])}
    assert any(name.startswith('decode_head') for name in changed)
    copies = {name for name in whole if name.startswith('anchors.')}
    assert bool(copies) == (anchors is ANCHORS)
    assert not changed & copies
    last.unlink()  # as if it had been killed before
    train.main([*arguments, '--resume'])
    resumed = _tensors(torch.load(last, weights_only=True))
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not torch.equal(resumed[name], whole[name])]


def test_a_run_resumed_with_another_anchor_begins_it_anew(tmp_path, command):
    train.main([*command('_base_.tent', '()'), '--cfg-options', 'train_cfg.max_iters=2'])
    arguments = command('_base_.tent', "[dict(type='PullToSource')]")
    train.main([*arguments, '--resume', '--resume-anyway'])
    log = max((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'holds no state of Tent with PullToSource, which begins anew from its weights' in log
    state = torch.load(tmp_path / 'run/iter_4.pth', weights_only=True)['method']['state']
    assert any(name.startswith('anchors.0.source.') for name in state)


def test_the_examples_of_the_page_about_extending(tmp_path, command):
    page = (REPOSITORY / 'docs/extending.md').read_text()
    sections = page[page.index('## A method') : page.index('## A rule of correction')]
    names = {}
    for block in re.findall(r'```python\n(.*?)```', sections, re.DOTALL):
        if 'register_module' in block:
            exec(block, names)  # a page of ours
    arguments = command("dict(type='SoftTeacher')", "[dict(type='StepLimit')]")
    train.main([*arguments, '--cfg-options', 'train_cfg.max_iters=2'])
    state = torch.load(tmp_path / 'run/iter_2.pth', weights_only=True)['method']['state']
    assert {name.partition('.')[0] for name in state} == {'teacher', 'anchors'}


@pytest.mark.slow
@pytest.mark.parametrize(
    ('method', 'anchors'), [('tent', '()'), ('information', '()'), ('mean_teacher', ANCHORS)]
)
def test_two_processes_wait_for_no_gradient(tmp_path, command, method, anchors):
    arguments = command(f'_base_.{method}', anchors)
    _in_two_processes(arguments)
    assert (tmp_path / 'run/iter_4.pth').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('labels', ['soft', 'class_quantile'])
def test_two_processes_resume_to_the_bit(tmp_path, command, labels):
    """What a teacher knows of classes is of the images of both, so one checkpoint has it all."""
    arguments = command(f"{{**_base_.mean_teacher, 'labels': {labels!r}, 'balance': 0.5}}", '()')
    last = tmp_path / 'run/iter_4.pth'
    _in_two_processes(arguments)
    whole = _tensors(torch.load(last, weights_only=True))
    last.unlink()
    _in_two_processes([*arguments, '--resume'])
    resumed = _tensors(torch.load(last, weights_only=True))
    assert not [name for name in whole if not torch.equal(resumed[name], whole[name])]


def _in_two_processes(arguments: list[str]) -> None:
    assert killed_runs.statuses_together(train.main, arguments) == [0, 0]


def _tensors(checkpoint: dict) -> dict[str, torch.Tensor]:
    """Return the weights that predict, those that are trained, and the method's state."""
    method = checkpoint['method']
    trained = {f'trained.{name}': tensor for name, tensor in method['trained'].items()}
    return checkpoint['state_dict'] | trained | method['state']


def test_an_image_that_is_kept_before_it_is_flipped_is_refused(command):
    arguments = command('_base_.mean_teacher', '()')
    config = Path(arguments[0])
    text = config.read_text().replace("dict(type='RandomFlip', prob=0.5),", '')
    moved = (
        "*_base_.demo_two_looks[4:6], dict(type='RandomFlip', prob=1.0), _base_.demo_two_looks[-1]"
    )
    config.write_text(text.replace('*_base_.demo_two_looks[4:]', moved))
    with pytest.raises(UserError, match='RandomFlip behind KeepUnaugmented'):
        train.main(arguments)
