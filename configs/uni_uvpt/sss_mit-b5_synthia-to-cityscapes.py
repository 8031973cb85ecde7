"""Uni-UVPT MiT-B5, SYNTHIA to Cityscapes, source model pretrained by "standard single source".

Published mIoU on Cityscapes val: 52.6 (16 classes) and 59.3 (13 classes);
source model 48.6 (16 classes) and 55.0 (13 classes).
"""

_base_ = [
    '../_base_/models/mit-b5_uni-uvpt.py',
    '../_base_/datasets/cityscapes_adaptation.py',
    '../_base_/schedules/adapt_80k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU16=48.6, mIoU13=55.0), adapted=dict(mIoU16=52.6, mIoU13=59.3)),
    released_checkpoint=(
        'model/Uni-UVPT_models/SSS_MiT-B5_Synthia_Cityscapes_Uni-UVPT_LP_52.6_59.3.pth'
    ),
)

model = dict(
    source_checkpoint='model/pretrained_models/SSS_MiT-B5_Synthia_Cityscapes_48.6_55.0.pth'
)
optim_wrapper = dict(optimizer=dict(lr=4e-6))
default_hooks = dict(
    checkpoint=dict(save_best='mIoU16'),
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/SSS_MiT-B5_Synthia_Cityscapes_48.6_55.0/train'
    ),
)
