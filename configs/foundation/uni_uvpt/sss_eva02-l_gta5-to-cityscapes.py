"""Uni-UVPT EVA-02-L, GTA5 to Cityscapes. Nobody has trained it here.

Counted, not measured (docs/backbones.md): 10.6 hours of an H100, and 26.5 GiB, with --amp 12.5.
The learning rate is Swin-B's, not tuned.
"""

_base_ = [
    '../../_base_/models/eva02-l_uni-uvpt.py',
    '../../_base_/datasets/cityscapes_adaptation.py',
    '../../_base_/schedules/adapt_80k.py',
]

optim_wrapper = dict(optimizer=dict(lr=6e-6))
default_hooks = dict(
    label_correction=dict(pseudo_label_dir='data/cityscapes/pretrain/sss_eva02-l_gta5/train'),
)
