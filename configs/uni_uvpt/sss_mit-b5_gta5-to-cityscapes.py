"""Uni-UVPT MiT-B5, GTA5 to Cityscapes, source model pretrained by "standard single source".

Published mIoU on Cityscapes val: 54.2 (19 classes); source model 52.5 (19 classes).
"""

_base_ = [
    '../_base_/models/mit-b5_uni-uvpt.py',
    '../_base_/datasets/cityscapes_adaptation.py',
    '../_base_/schedules/adapt_80k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU19=52.5), adapted=dict(mIoU19=54.2)),
    released_checkpoint='model/Uni-UVPT_models/SSS_MiT-B5_GTAV_Cityscapes_Uni-UVPT_LP_54.2.pth',
)

model = dict(source_checkpoint='model/pretrained_models/SSS_MiT-B5_GTAV_Cityscapes_52.5.pth')
optim_wrapper = dict(optimizer=dict(lr=4e-6))
default_hooks = dict(
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/SSS_MiT-B5_GTAV_Cityscapes_52.5/train'
    ),
)
