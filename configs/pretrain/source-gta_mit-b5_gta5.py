"""Source model MiT-B5, GTA5, generalise-then-adapt.

Published mIoU on Cityscapes val: 53.0 (19 classes).
"""

_base_ = [
    '../_base_/models/mit-b5_source.py',
    '../_base_/datasets/gta.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/pretrain_gta_40k.py',
    '../_base_/generalise.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU19=53.0)),
    released_checkpoint='model/pretrained_models/GtA_MiT-B5_GTAV_Cityscapes_53.0.pth',
)

model = _base_.source_gta
train_dataloader = dict(
    collate_fn=_base_.augmented_collate,
    dataset=dict(pipeline=_base_.undistorted_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=8e-6))
