"""Source model EVA-02-L, GTA5, standard single source. Nobody has trained it here.

Counted, not measured (docs/backbones.md): 12.8 hours of an H100, and 11.7 GiB, with --amp 8.8.
The learning rate is Swin-B's, not tuned.
"""

_base_ = [
    '../../_base_/models/eva02-l_source.py',
    '../../_base_/datasets/gta.py',
    '../../_base_/datasets/cityscapes.py',
    '../../_base_/schedules/pretrain_400k.py',
]

optim_wrapper = dict(optimizer=dict(lr=6e-6))
