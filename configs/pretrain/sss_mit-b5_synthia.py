"""Source model MiT-B5, SYNTHIA, standard single source.

Published mIoU on Cityscapes val: 48.6 (16 classes) and 55.0 (13 classes).
"""

_base_ = [
    '../_base_/models/mit-b5_source.py',
    '../_base_/datasets/synthia.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/pretrain_400k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU16=48.6, mIoU13=55.0)),
    released_checkpoint='model/pretrained_models/SSS_MiT-B5_Synthia_Cityscapes_48.6_55.0.pth',
)

optim_wrapper = dict(optimizer=dict(lr=2e-6))
default_hooks = dict(checkpoint=dict(save_best='mIoU16'))
