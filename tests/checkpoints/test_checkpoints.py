"""Checkpoints load alike everywhere, or are refused with the reason."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmseg.apis import init_model
from runs_code import RunsCode

from mmseg_uvpt.checkpoints.interpolation import _between
from mmseg_uvpt.checkpoints.loading import load_file, load_initial_weights
from mmseg_uvpt.checkpoints.names import to_released
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY

NANO = ['swin-nano', 'mit-nano']


def save_released(model, path, prefix='', **extra):
    """Save a model as the published files are saved."""
    state = {prefix + k: v.clone() for k, v in to_released(model.state_dict()).items()}
    torch.save(
        {'meta': {'CLASSES': ('road',), 'PALETTE': [[0, 0, 0]]}, 'state_dict': {**state, **extra}},
        path,
    )
    return path


def randomised(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize('name', NANO)
@pytest.mark.parametrize('kind', ['source', 'uni-uvpt'])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_released_files_load(name, kind, prefix, build, tmp_path):
    saved = randomised(build(f'{name}_{kind}'))
    path = save_released(saved, tmp_path / 'released.pth', prefix)
    model = build(f'{name}_{kind}')
    load_checkpoint(model, str(path))
    assert_same(model.state_dict(), saved.state_dict())


def test_parts_of_a_head_of_ones_own_stay_as_they_are_called(build):
    """An auxiliary head, and layers with names that released prompts have, too."""
    auxiliary = {'type': 'FCNHead', 'in_channels': 32, 'channels': 8, 'num_classes': 19}
    changes = {'auxiliary_head': {**auxiliary, 'in_index': 2}}
    models = [build('swin-nano_source', changes) for _ in range(2)]
    for model in models:
        model.decode_head.sampling_offsets = torch.nn.Linear(8, 8)
        model.decode_head.attention_weights = torch.nn.Linear(8, 4)
    saved = randomised(models[0])
    models[1].load_state_dict(saved.state_dict())
    assert_same(models[1].state_dict(), saved.state_dict())
    with pytest.raises(ValueError, match='auxiliary_head: no method has a loss for it'):
        build('swin-nano_uni-uvpt', changes)


@pytest.mark.parametrize('name', NANO)
def test_own_files_load_and_stay_the_same(name, build, tmp_path):
    saved = randomised(build(f'{name}_uni-uvpt'))
    torch.save({'state_dict': saved.state_dict()}, tmp_path / 'own.pth')
    model = build(f'{name}_uni-uvpt')
    load_checkpoint(model, str(tmp_path / 'own.pth'))
    assert_same(model.state_dict(), saved.state_dict())


def test_init_model_of_mmseg_loads_released_files(build, tmp_path):
    saved = randomised(build('swin-nano_uni-uvpt'))
    path = save_released(saved, tmp_path / 'released.pth')
    config = Config.fromfile('configs/_base_/models/swin-nano_uni-uvpt.py')
    model = init_model(config, str(path), device='cpu')
    assert_same(model.state_dict(), saved.state_dict())
    assert model.dataset_meta['classes'] == ('road',)


@pytest.mark.parametrize('name', NANO)
def test_source_model_enters_the_adapted_model(name, build, tmp_path):
    source = randomised(build(f'{name}_source'))
    path = save_released(
        source, tmp_path / 'source.pth', **{'decode_head_aug0.conv_seg.weight': torch.zeros(19, 1)}
    )
    model = build(f'{name}_uni-uvpt', {'source_checkpoint': str(path)})
    load_initial_weights(model)
    found = {
        k.replace('backbone.staged.', 'backbone.'): v
        for k, v in model.state_dict().items()
        if k.startswith(('backbone.staged.', 'decode_head.'))
    }
    assert_same(found, source.state_dict())


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': {'a': torch.zeros(1)}, 'meta': RunsCode()}, path)
    with pytest.raises(UserError, match=r'evil\.pth is refused.*could run code.*print'):
        load_file(path)
    assert 'never be printed' not in capsys.readouterr().out


def test_init_model_refuses_a_file_that_would_run_code(tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': {'a': torch.zeros(1)}, 'meta': RunsCode()}, path)
    config = Config.fromfile('configs/_base_/models/swin-nano_uni-uvpt.py')
    with pytest.raises(UserError, match='could run code'):
        init_model(config, str(path), device='cpu')


def test_numpy_values_are_plain(tmp_path):
    torch.save({'scalar': np.float64(2.5), 'array': np.arange(3)}, tmp_path / 'run.pth')
    found = load_file(tmp_path / 'run.pth')
    assert found['scalar'] == 2.5
    assert found['array'].tolist() == [0, 1, 2]


@pytest.mark.parametrize('content', [b'', b'no checkpoint', None])
def test_damaged_files_are_named(content, tmp_path):
    path = tmp_path / 'damaged.pth'
    if content is None:
        torch.save({'state_dict': {'a': torch.zeros(1000)}}, path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r'damaged\.pth is damaged or no checkpoint'):
        load_file(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r'none\.pth does not exist'):
        load_file(tmp_path / 'none.pth')


def test_no_tensors_at_all(build, tmp_path):
    torch.save({'epoch': 3}, tmp_path / 'empty.pth')
    model = build('swin-nano_uni-uvpt', {'source_checkpoint': str(tmp_path / 'empty.pth')})
    with pytest.raises(UserError, match='holds no tensors'):
        load_initial_weights(model)


def test_keys_that_do_not_fit_are_named(build):
    model = build('swin-nano_source')
    state = {k: v.clone() for k, v in model.state_dict().items()}
    del state['backbone.norm0.weight']
    state['backbone.extra'] = torch.zeros(1)
    state['decode_head.embed_layers.0.proj.weight'] = torch.zeros(32, 31)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(UserError) as error:
        model.load_state_dict(state, strict=False)
    message = str(error.value)
    assert '1 missing: backbone.norm0.weight' in message
    assert '1 unexpected: backbone.extra' in message
    assert 'decode_head.embed_layers.0.proj.weight (32, 31) instead of (32, 32)' in message
    assert_same(model.state_dict(), before)


def test_another_number_of_classes(build):
    model = build('swin-nano_source')
    state = build('swin-nano_source', {'decode_head.num_classes': 16}).state_dict()
    with pytest.raises(UserError, match='head of 16 classes, the config one of 19'):
        model.load_state_dict(state)


def test_source_and_adapted_files_are_told_apart(build, tmp_path):
    source, adapted = build('swin-nano_source'), build('swin-nano_uni-uvpt')
    with pytest.raises(UserError, match='is a source model: it holds no prompts'):
        adapted.load_state_dict(source.state_dict())
    with pytest.raises(UserError, match='is an adapted model: it holds prompts'):
        source.load_state_dict(to_released(adapted.state_dict()))
    path = save_released(adapted, tmp_path / 'adapted.pth')
    model = build('swin-nano_uni-uvpt', {'source_checkpoint': str(path)})
    with pytest.raises(UserError, match=r'holds more than a source model, .* and \d+ more'):
        load_initial_weights(model)


def imagenet_swin(model) -> dict:
    """Name the backbone's tensors as OpenMMLab's classification file does."""
    state = {
        k: v
        for k, v in model.backbone.state_dict().items()
        if k[:5] not in [f'norm{i}' for i in range(4)]
    }
    width = model.backbone.widths[-1]
    return {
        **state,
        'norm.weight': torch.zeros(width),
        'norm.bias': torch.zeros(width),
        'head.weight': torch.zeros(1000, width),
        'stages.0.blocks.1.attn_mask': torch.zeros(4),
    }


def imagenet_mit(model) -> dict:
    """Name the backbone's tensors as SegFormer's classification file does."""
    width = model.backbone.widths[-1]
    return {
        **model.backbone.state_dict(),
        'head.weight': torch.zeros(1000, width),
        'head.bias': torch.zeros(1000),
    }


@pytest.mark.parametrize(
    ('name', 'wrap'),
    [
        ('swin-nano', lambda s: {'state_dict': s}),
        ('swin-nano', lambda s: {'state_dict': {f'backbone.{k}': v for k, v in s.items()}}),
        ('swin-nano', lambda s: {'model': s}),
        ('mit-nano', lambda s: s),
    ],
)
def test_imagenet_files(name, wrap, build, tmp_path):
    saved = randomised(build(f'{name}_source'))
    state = (imagenet_swin if 'swin' in name else imagenet_mit)(saved)
    torch.save(wrap(state), tmp_path / 'imagenet.pth')
    pretrained = {
        '_delete_': True,
        'type': 'Pretrained',
        'checkpoint': str(tmp_path / 'imagenet.pth'),
    }
    model = build(f'{name}_source', {'backbone.init_cfg': pretrained})
    load_initial_weights(model)
    for key, tensor in model.backbone.state_dict().items():
        if key in state:
            assert torch.equal(tensor, state[key]), key
        else:
            assert key.startswith('norm')


def test_an_imagenet_file_of_another_model_is_refused(build, tmp_path):
    torch.save(imagenet_mit(build('mit-nano_source')), tmp_path / 'mit.pth')
    pretrained = {'_delete_': True, 'type': 'Pretrained', 'checkpoint': str(tmp_path / 'mit.pth')}
    model = build('swin-nano_source', {'backbone.init_cfg': pretrained})
    with pytest.raises(
        UserError, match=r'ImageNet file .*mit\.pth does not fit.*missing.*unexpected'
    ):
        load_initial_weights(model)
    load_initial_weights(model, imagenet=False)  # of a run that goes on


@pytest.mark.slow
def test_the_readme_shows_code_that_runs(build, tmp_path):
    """Import, load, label a photograph of any size; in a process of its own."""
    page = (REPOSITORY / 'README.md').read_text()
    code = page.split('```python')[1].split('```')[0]
    path = save_released(randomised(build('swin-nano_uni-uvpt')), tmp_path / 'released.pth')
    photo = tmp_path / 'photo.png'
    pixels = np.random.default_rng(0).integers(0, 255, (45, 77, 3)).astype(np.uint8)
    cv2.imwrite(str(photo), pixels)
    for written, meant in {
        'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py': 'configs/demo/uni-uvpt_swin-nano.py',
        "'CHECKPOINT.pth'": repr(str(path)),
        "'photo.png'": repr(str(photo)),
    }.items():
        assert written in code
        code = code.replace(written, meant)
    run = [sys.executable, '-c', f'{code}\nprint(tuple(classes.shape))']
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    done = subprocess.run(run, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert done.stdout.strip().endswith('(1, 45, 77)'), done.stderr


def test_what_lies_between_two_models():
    """Weights do; whole numbers, and what a tuner began with by chance, are the adapted model's."""
    zero, one = torch.zeros(3), torch.ones(3)
    start, again = {'a': zero, 'backbone.prompt': zero}, {'a': zero, 'backbone.prompt': one}
    assert _between('a', one, start, again, 0.25).tolist() == [0.25] * 3
    assert _between('backbone.prompt', one, start, again, 0.25) is one
    count = torch.tensor(7)
    assert _between('n', count, {'n': torch.tensor(1)}, {'n': torch.tensor(1)}, 0.25) is count
