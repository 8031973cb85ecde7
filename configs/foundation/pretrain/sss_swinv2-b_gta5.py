"""Source model Swin V2-B, GTA5, standard single source. Nobody has trained it here.

Counted, not measured (docs/backbones.md): 2.9 hours of an H100, and 6.9 GiB, with --amp 5.1.
The learning rate is Swin-B's, not tuned.
"""

_base_ = [
    '../../_base_/models/swinv2-b_source.py',
    '../../_base_/datasets/gta.py',
    '../../_base_/datasets/cityscapes.py',
    '../../_base_/schedules/pretrain_400k.py',
]

optim_wrapper = dict(optimizer=dict(lr=6e-6))
