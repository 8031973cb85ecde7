"""Source model Swin-B, SYNTHIA, generalise-then-adapt.

Published mIoU on Cityscapes val: 48.8 (16 classes) and 55.0 (13 classes).
"""

_base_ = [
    '../_base_/models/swin-b_source.py',
    '../_base_/datasets/synthia.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/pretrain_gta_40k.py',
    '../_base_/generalise.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU16=48.8, mIoU13=55.0)),
    released_checkpoint='model/pretrained_models/GtA_Swin-B_Synthia_Cityscapes_48.8_55.0.pth',
)

model = _base_.source_gta
train_dataloader = dict(
    collate_fn=_base_.augmented_collate,
    dataset=dict(pipeline=_base_.undistorted_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=2e-6))
default_hooks = dict(checkpoint=dict(save_best='mIoU16'))
