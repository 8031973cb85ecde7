"""Uni-UVPT Swin-B, SYNTHIA to Cityscapes, source model pretrained by "generalise, then adapt".

Published mIoU on Cityscapes val: 53.8 (16 classes) and 60.4 (13 classes);
source model 48.8 (16 classes) and 55.0 (13 classes).
"""

_base_ = [
    '../_base_/models/swin-b_uni-uvpt.py',
    '../_base_/datasets/cityscapes_adaptation.py',
    '../_base_/schedules/adapt_80k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU16=48.8, mIoU13=55.0), adapted=dict(mIoU16=53.8, mIoU13=60.4)),
    released_checkpoint=(
        'model/Uni-UVPT_models/GtA_Swin-B_Synthia_Cityscapes_Uni-UVPT_LP_53.8_60.4.pth'
    ),
)

model = dict(
    source_checkpoint='model/pretrained_models/GtA_Swin-B_Synthia_Cityscapes_48.8_55.0.pth'
)
optim_wrapper = dict(optimizer=dict(lr=6e-6))
default_hooks = dict(
    checkpoint=dict(save_best='mIoU16'),
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/GtA_Swin-B_Synthia_Cityscapes_48.8_55.0/train'
    ),
)
