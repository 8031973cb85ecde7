"""Stands in for the recipe of the same name, on MiniCity: `make rehearsal`."""

_base_ = [
    '../../_base_/models/mit-nano_source.py',
    '../../_base_/rehearsal_pretrain.py',
    '../../_base_/generalise.py',
]

model = dict(
    type='SourceGtA',
    data_preprocessor=_base_.generalising_preprocessor,
    decode_head=dict(loss_decode=_base_.generalising_loss),
)
train_dataloader = dict(
    collate_fn=dict(type='augmented_collate', augmentations=['fda_random']),
    dataset=dict(pipeline=_base_.undistorted_pipeline),
)
