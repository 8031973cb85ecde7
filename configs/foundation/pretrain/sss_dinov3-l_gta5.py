"""Source model DINOv3's ViT-L, GTA5, standard single source. Nobody has trained it here.

Counted, not measured (docs/backbones.md): 9.3 hours of an H100, and 9.5 GiB, with --amp 7.2.
The learning rate is Swin-B's, not tuned.
"""

_base_ = [
    '../../_base_/models/dinov3-l_source.py',
    '../../_base_/datasets/gta.py',
    '../../_base_/datasets/cityscapes.py',
    '../../_base_/schedules/pretrain_400k.py',
]

optim_wrapper = dict(optimizer=dict(lr=6e-6))
