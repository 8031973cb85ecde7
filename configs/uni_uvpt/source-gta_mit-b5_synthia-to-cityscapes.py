"""Uni-UVPT MiT-B5, SYNTHIA to Cityscapes, source model pretrained by "generalise, then adapt".

Published mIoU on Cityscapes val: 53.8 (16 classes) and 60.1 (13 classes);
source model 50.0 (16 classes) and 56.2 (13 classes).
"""

_base_ = [
    '../_base_/models/mit-b5_uni-uvpt.py',
    '../_base_/datasets/cityscapes_adaptation.py',
    '../_base_/schedules/adapt_80k.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU16=50.0, mIoU13=56.2), adapted=dict(mIoU16=53.8, mIoU13=60.1)),
    released_checkpoint=(
        'model/Uni-UVPT_models/GtA_MiT-B5_Synthia_Cityscapes_Uni-UVPT_LP_53.8_60.1.pth'
    ),
)

model = dict(
    source_checkpoint='model/pretrained_models/GtA_MiT-B5_Synthia_Cityscapes_50.0_56.2.pth'
)
optim_wrapper = dict(optimizer=dict(lr=4e-6))
default_hooks = dict(
    checkpoint=dict(save_best='mIoU16'),
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/GtA_MiT-B5_Synthia_Cityscapes_50.0_56.2/train'
    ),
)
