"""Source model MiT-B5, GTA5, standard single source.

Published mIoU on Cityscapes val: 52.5 (19 classes).
"""

_base_ = [
    '../_base_/models/mit-b5_source.py',
    '../_base_/datasets/gta.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/pretrain_400k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU19=52.5)),
    released_checkpoint='model/pretrained_models/SSS_MiT-B5_GTAV_Cityscapes_52.5.pth',
)

optim_wrapper = dict(optimizer=dict(lr=2e-5))
