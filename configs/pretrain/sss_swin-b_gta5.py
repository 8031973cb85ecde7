"""Source model Swin-B, GTA5, standard single source.

Published mIoU on Cityscapes val: 50.5 (19 classes).
"""

_base_ = [
    '../_base_/models/swin-b_source.py',
    '../_base_/datasets/gta.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/pretrain_400k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU19=50.5)),
    released_checkpoint='model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth',
)

optim_wrapper = dict(optimizer=dict(lr=6e-6))
