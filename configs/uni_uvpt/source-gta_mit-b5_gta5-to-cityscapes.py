"""Uni-UVPT MiT-B5, GTA5 to Cityscapes, source model pretrained by "generalise, then adapt".

Published mIoU on Cityscapes val: 56.1 (19 classes); source model 53.0 (19 classes).
"""

_base_ = [
    '../_base_/models/mit-b5_uni-uvpt.py',
    '../_base_/datasets/cityscapes_adaptation.py',
    '../_base_/schedules/adapt_80k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU19=53.0), adapted=dict(mIoU19=56.1)),
    released_checkpoint='model/Uni-UVPT_models/GtA_MiT-B5_GTAV_Cityscapes_Uni-UVPT_LP_56.1.pth',
)

model = dict(source_checkpoint='model/pretrained_models/GtA_MiT-B5_GTAV_Cityscapes_53.0.pth')
optim_wrapper = dict(optimizer=dict(lr=4e-6))
default_hooks = dict(
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/GtA_MiT-B5_GTAV_Cityscapes_53.0/train'
    ),
)
