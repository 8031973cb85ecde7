"""Source model DINOv2's ViT-B, GTA5, standard single source. Nobody has trained it here.

Counted, not measured (docs/backbones.md): 5.2 hours of an H100, and 5.2 GiB, with --amp 3.3.
The learning rate is Swin-B's, not tuned.
"""

_base_ = [
    '../../_base_/models/dinov2-b_source.py',
    '../../_base_/datasets/gta.py',
    '../../_base_/datasets/cityscapes.py',
    '../../_base_/schedules/pretrain_400k.py',
]

optim_wrapper = dict(optimizer=dict(lr=6e-6))
