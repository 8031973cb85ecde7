"""Uni-UVPT Swin-B, GTA5 to Cityscapes, source model pretrained by "standard single source".

Published mIoU on Cityscapes val: 56.2 (19 classes); source model 50.5 (19 classes).
"""

_base_ = [
    '../_base_/models/swin-b_uni-uvpt.py',
    '../_base_/datasets/cityscapes_adaptation.py',
    '../_base_/schedules/adapt_80k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU19=50.5), adapted=dict(mIoU19=56.2)),
    released_checkpoint='model/Uni-UVPT_models/SSS_Swin-B_GTAV_Cityscapes_Uni-UVPT_LP_56.2.pth',
)

model = dict(source_checkpoint='model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth')
optim_wrapper = dict(optimizer=dict(lr=6e-6))
default_hooks = dict(
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/SSS_Swin-B_GTAV_Cityscapes_50.5/train'
    ),
)
