"""Uni-UVPT Swin-B, SYNTHIA to Cityscapes, source model pretrained by "standard single source".

Published mIoU on Cityscapes val: 52.6 (16 classes) and 59.4 (13 classes);
source model 44.6 (16 classes) and 49.8 (13 classes).
"""

_base_ = [
    '../_base_/models/swin-b_uni-uvpt.py',
    '../_base_/datasets/cityscapes_adaptation.py',
    '../_base_/schedules/adapt_80k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU16=44.6, mIoU13=49.8), adapted=dict(mIoU16=52.6, mIoU13=59.4)),
    released_checkpoint=(
        'model/Uni-UVPT_models/SSS_Swin-B_Synthia_Cityscapes_Uni-UVPT_LP_52.6_59.4.pth'
    ),
)

model = dict(
    source_checkpoint='model/pretrained_models/SSS_Swin-B_Synthia_Cityscapes_44.6_49.8.pth'
)
optim_wrapper = dict(optimizer=dict(lr=6e-6))
default_hooks = dict(
    checkpoint=dict(save_best='mIoU16'),
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/SSS_Swin-B_Synthia_Cityscapes_44.6_49.8/train'
    ),
)
