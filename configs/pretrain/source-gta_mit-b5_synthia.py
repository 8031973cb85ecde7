"""Source model MiT-B5, SYNTHIA, generalise-then-adapt.

Published mIoU on Cityscapes val: 50.0 (16 classes) and 56.2 (13 classes).
"""

_base_ = [
    '../_base_/models/mit-b5_source.py',
    '../_base_/datasets/synthia.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/pretrain_gta_40k.py',
    '../_base_/generalise.py',
]

uvpt = dict(
    published=dict(source=dict(mIoU16=50.0, mIoU13=56.2)),
    released_checkpoint='model/pretrained_models/GtA_MiT-B5_Synthia_Cityscapes_50.0_56.2.pth',
)

model = _base_.source_gta
train_dataloader = dict(
    collate_fn=_base_.augmented_collate,
    dataset=dict(pipeline=_base_.undistorted_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=4e-6))
default_hooks = dict(checkpoint=dict(save_best='mIoU16'))
