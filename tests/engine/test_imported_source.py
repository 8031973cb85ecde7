"""A model of mmseg, through the tool and the commands that it prints, to an adaptation."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.engine.scripts import generate_pseudo_label, test, train
from mmseg_uvpt.importing.config_files import source_text

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTHS = [8, 16, 32, 64]
SWIN = dict(
    type='SwinTransformer', embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4
)
MODEL = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[1, 2, 3], std=[4, 5, 6]),
    backbone=SWIN,
)
MAPS = dict(in_channels=WIDTHS, in_index=[0, 1, 2, 3], channels=8, num_classes=19)
FPN = dict(type='FPNHead', **MAPS, feature_strides=[4, 8, 16, 32], norm_cfg=dict(type='BN'))
UPER = dict(type='UPerHead', **MAPS, norm_cfg=dict(type='BN'))  # takes two images at a time


@pytest.mark.slow
@pytest.mark.parametrize(('named', 'head'), [(False, FPN), (True, UPER)], ids=['fpn', 'uper'])
def test_from_a_checkpoint_to_an_adaptation(named, head, data_root, tmp_path):
    """With Cityscapes' classes and with others, which labels hold as ids."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    names = [f'kind {i}' for i in range(19)] if named else CLASSES
    described = dict(MODEL, decode_head=head)
    meta = dict(cfg=f'model = {source_text(described)}', dataset_meta=dict(classes=names))
    model = MODELS.build(described)
    torch.save(dict(meta=meta, state_dict=model.state_dict()), tmp_path / 'theirs.pth')

    tool = [sys.executable, str(REPOSITORY / 'tools/import_source.py'), 'theirs.pth']
    place = ['--out', 'mine', '--data-root', 'data']
    run = subprocess.run([*tool, *place], cwd=tmp_path, capture_output=True, text=True, check=True)
    steps = [shlex.split(line)[1:] for line in run.stdout.partition('next:\n')[2].splitlines()]
    assert [step[0] for step in steps] == ['generate_pseudo_label.py', 'train.py']
    (score,) = (tmp_path / 'mine/theirs').glob('test_*.json')
    assert json.loads(score.read_text())['classes'] == list(names)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        generate_pseudo_label.main(steps[0][1:])
        few = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'model.view_scales=[1.0,0.5]']
        train.main([*steps[1][1:], '--work-dir', 'adapted', '--cfg-options', *few])
        adapted = torch.load('adapted/iter_2.pth', weights_only=False)['state_dict']
        source = torch.load('mine/theirs.pth')['state_dict']
        frozen = {k: t for k, t in source.items() if k.startswith('backbone.')}
        assert frozen.keys() == model.backbone.state_dict(prefix='backbone.').keys()
        for name, tensor in frozen.items():
            staged = name.replace('backbone.', 'backbone.staged.')
            torch.testing.assert_close(adapted[staged], tensor, rtol=0, atol=0)
        assert any(
            not torch.equal(adapted[name], tensor)
            for name, tensor in source.items()
            if name.startswith('decode_head.')
        )
        test.main(['adapted/config.py', 'adapted/iter_2.pth', '--out', 's.json'])
        assert json.loads(Path('s.json').read_text())['classes'] == list(names)
