"""Source model Swin-B, SYNTHIA, standard single source.

Published mIoU on Cityscapes val: 44.6 (16 classes) and 49.8 (13 classes).
"""

_base_ = [
    '../_base_/models/swin-b_source.py',
    '../_base_/datasets/synthia.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/pretrain_400k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU16=44.6, mIoU13=49.8)),
    released_checkpoint='model/pretrained_models/SSS_Swin-B_Synthia_Cityscapes_44.6_49.8.pth',
)

optim_wrapper = dict(optimizer=dict(lr=2e-6))
default_hooks = dict(checkpoint=dict(save_best='mIoU16'))
