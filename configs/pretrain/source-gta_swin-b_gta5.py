"""Source model Swin-B, GTA5, generalise-then-adapt.

Published mIoU on Cityscapes val: 52.8 (19 classes).
"""

_base_ = [
    '../_base_/models/swin-b_source.py',
    '../_base_/datasets/gta.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/pretrain_gta_40k.py',
    '../_base_/generalise.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU19=52.8)),
    released_checkpoint='model/pretrained_models/GtA_Swin-B_GTAV_Cityscapes_52.8.pth',
)

model = _base_.source_gta
train_dataloader = dict(
    collate_fn=_base_.augmented_collate,
    dataset=dict(pipeline=_base_.undistorted_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=1e-5))
