"""Stands in for the recipe of the same name, on MiniCity: `make rehearsal`."""

_base_ = [
    '../../_base_/models/swin-nano_source.py',
    '../../_base_/rehearsal_pretrain.py',
    '../../_base_/generalise.py',
]

model = dict(type='SourceGtA', data_preprocessor=_base_.generalising_preprocessor)
train_dataloader = dict(
    collate_fn=dict(type='augmented_collate', augmentations=['fda_random']),
)
