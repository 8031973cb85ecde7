"""Heads of generalise-then-adapt: losses, checkpoints, mixed precision, two processes."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmseg_uvpt.checkpoints.loading import load_source_model
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.decode_heads.leave_one_out import LEFT_OUT

SIDE = 64


@pytest.fixture(scope='module')
def model(build):
    torch.manual_seed(0)
    return build('swin-nano_source', {'type': 'SourceGtA'})


def samples_of(labelled, augmentation):
    samples = labelled(torch.randint(0, 19, (2, SIDE, SIDE)))
    for sample in samples:
        sample.set_metainfo({'augmentation': augmentation} if augmentation else {})
    return samples


@pytest.mark.parametrize('augmentation', [*itertools.chain(*LEFT_OUT), None])
def test_the_head_that_leaves_it_out_gets_no_loss(model, labelled, augmentation):
    model.train().zero_grad()
    losses = model.loss(torch.randn(2, 3, SIDE, SIDE), samples_of(labelled, augmentation))
    trained = [augmentation not in left_out for left_out in LEFT_OUT]
    assert sum(trained) == 5 - bool(augmentation)
    heads = {'decode', *(f'decode_aug{i}' for i in range(5) if trained[i])}
    assert {name.split('.')[0] for name in losses} == heads
    model.parse_losses(losses)[0].backward()
    for number in range(5):
        head = getattr(model, f'decode_head_aug{number}')
        touched = [p.grad is not None and bool(p.grad.any()) for p in head.parameters()]
        assert all(touched) if trained[number] else not any(touched)
    assert all(p.grad is not None for p in model.decode_head.parameters())


def test_the_sixth_head_is_the_global_one(model):
    assert model.decode_head_aug5 is model.decode_head
    state = model.state_dict()
    names = [name for name in state if name.startswith('decode_head_aug5.')]
    assert names
    for name in names:
        assert torch.equal(state[name], state[name.replace('_aug5', '')])
    parameters = sum(p.numel() for p in model.decode_head.parameters())
    heads = [p for n, p in model.named_parameters() if n.startswith('decode_head')]
    assert sum(p.numel() for p in heads) == 6 * parameters


@pytest.mark.slow
def test_checkpoints_go_both_ways(model, build, tmp_path):
    state = {f'module.{name}': tensor.clone() for name, tensor in model.state_dict().items()}
    again = build('swin-nano_source', {'type': 'SourceGtA'})
    again.load_state_dict(state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    # a standard source model and an adapted one take backbone and global head
    standard = build('swin-nano_source')
    standard.load_state_dict(state)
    assert torch.equal(standard.decode_head.conv_seg.weight, model.decode_head.conv_seg.weight)
    adapted = build('swin-nano_uni-uvpt')
    torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'source.pth')
    load_source_model(adapted, tmp_path / 'source.pth')
    assert torch.equal(adapted.decode_head.conv_seg.weight, model.decode_head.conv_seg.weight)


def test_the_head_that_predicts_counts_where_a_file_has_two(model, build):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state['decode_head_aug5.conv_seg.weight'] += 1
    again = build('swin-nano_source', {'type': 'SourceGtA'})
    again.load_state_dict(state)
    assert torch.equal(again.decode_head.conv_seg.weight, state['decode_head.conv_seg.weight'])


def test_a_standard_source_model_is_refused_in_words(model, build):
    with pytest.raises(UserError, match=r'no leave-one-out heads.*sss_'):
        model.load_state_dict(build('swin-nano_source').state_dict())


def test_only_the_global_head_predicts(model):
    model.eval()
    image = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        before = model.predict(image)[0].seg_logits.data.clone()
        for number in range(5):
            for parameter in getattr(model, f'decode_head_aug{number}').parameters():
                parameter.add_(1)
        assert torch.equal(model.predict(image)[0].seg_logits.data, before)


WORKER = """
import os, sys, torch, torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import MODEL_WRAPPERS, init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
import mmseg_uvpt.register
dist.init_process_group('gloo')
rank = dist.get_rank()
init_default_scope('mmseg')
torch.manual_seed(0)
cfg = Config.fromfile('configs/_base_/models/swin-nano_source.py').model
model = MODELS.build({**cfg, 'type': 'SourceGtA', 'data_preprocessor': None})
wrapper = Config.fromfile('configs/_base_/schedules/pretrain_gta_40k.py').model_wrapper_cfg
model = MODEL_WRAPPERS.build({**wrapper, 'module': model, 'broadcast_buffers': False})
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
torch.manual_seed(rank)
plan = [('adain', 'snow'), ('fda_random', 'fda_random'), ('cartoon', 'style_randomisation')]
for names in plan:
    image = torch.randn(1, 3, 64, 64)
    sample = SegDataSample(metainfo={'augmentation': names[rank]})
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 19, (1, 64, 64)))
    optimizer.zero_grad()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(image, [sample], mode='loss')
    total = sum(v.mean() for k, v in losses.items() if 'loss' in k)
    total.backward()
    if names[0] == names[1]:  # both leave head 0 out: nobody has a gradient for it
        heads = model.module.decode_head_aug0.parameters()
        assert not any(p.grad is not None and p.grad.any() for p in heads)
    optimizer.step()
flat = torch.cat([p.detach().flatten() for p in model.parameters()])
both = [torch.zeros_like(flat) for _ in range(2)]
dist.all_gather(both, flat)
assert torch.equal(*both) and flat.isfinite().all()
os.write(1, b'alike %d;' % rank)  # at once: two processes write here
"""


@pytest.mark.slow
def test_two_processes_with_mixed_precision(tmp_path):
    """Each rank leaves another head out; nothing hangs, and both end with the same weights."""
    script = tmp_path / 'worker.py'
    script.write_text(WORKER)
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc-per-node=2',
            script,
        ],
        cwd=repository,
        env={**os.environ, 'PYTHONPATH': str(repository), 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert 'alike 0;' in done.stdout
    assert 'alike 1;' in done.stdout


def test_an_auxiliary_head_is_trained(build, labelled):
    auxiliary = {
        **{'type': 'FCNHead', 'in_channels': 64, 'in_index': 1, 'channels': 8, 'num_convs': 1},
        **{
            'num_classes': 19,
            'norm_cfg': {'type': 'BN'},
            'loss_decode': {'type': 'CrossEntropyLoss'},
        },
    }
    model = build('swin-nano_source', {'type': 'SourceGtA', 'auxiliary_head': auxiliary})
    losses = model.train().loss(torch.randn(2, 3, SIDE, SIDE), samples_of(labelled, None))
    assert losses['aux.loss_ce'] > 0
