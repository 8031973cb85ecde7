"""Stands in for the recipe of the same name, on MiniCity: `make rehearsal`."""

_base_ = [
    '../../_base_/models/mit-nano_source.py',
    '../../_base_/rehearsal_pretrain.py',
    '../../_base_/generalise.py',
]

model = _base_.source_gta
train_dataloader = dict(
    collate_fn=dict(type='augmented_collate', augmentations=['fda_random']),
    dataset=dict(pipeline=_base_.undistorted_pipeline),
)
