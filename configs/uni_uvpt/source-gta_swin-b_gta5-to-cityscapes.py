"""Uni-UVPT Swin-B, GTA5 to Cityscapes, source model pretrained by "generalise, then adapt".

Published mIoU on Cityscapes val: 56.9 (19 classes); source model 52.8 (19 classes).
"""

_base_ = [
    '../_base_/models/swin-b_uni-uvpt.py',
    '../_base_/datasets/cityscapes_adaptation.py',
    '../_base_/schedules/adapt_80k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU19=52.8), adapted=dict(mIoU19=56.9)),
    released_checkpoint='model/Uni-UVPT_models/GtA_Swin-B_GTAV_Cityscapes_Uni-UVPT_LP_56.9.pth',
)

model = dict(source_checkpoint='model/pretrained_models/GtA_Swin-B_GTAV_Cityscapes_52.8.pth')
optim_wrapper = dict(optimizer=dict(lr=6e-6))
default_hooks = dict(
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/GtA_Swin-B_GTAV_Cityscapes_52.8/train'
    ),
)
