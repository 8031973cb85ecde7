"""Uni-UVPT Swin V2-B, SYNTHIA to Cityscapes. Nobody has trained it here.

Counted, not measured (docs/backbones.md): 1.6 hours of an H100, and 16.4 GiB, with --amp 8.5.
The learning rate is Swin-B's, not tuned.
"""

_base_ = [
    '../../_base_/models/swinv2-b_uni-uvpt.py',
    '../../_base_/datasets/cityscapes_adaptation.py',
    '../../_base_/schedules/adapt_80k.py',
]

optim_wrapper = dict(optimizer=dict(lr=6e-6))
default_hooks = dict(
    checkpoint=dict(save_best='mIoU16'),
    label_correction=dict(pseudo_label_dir='data/cityscapes/pretrain/sss_swinv2-b_synthia/train'),
)
