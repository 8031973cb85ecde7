"""Stands in for the recipe of the same name, on MiniCity: `make rehearsal`."""

_base_ = [
    '../../_base_/models/mit-nano_source.py',
    '../../_base_/rehearsal_pretrain.py',
    '../../_base_/generalise.py',
]

model = _base_.source_gta
train_dataloader = dict(
    collate_fn=dict(type='augmented_collate', augmentations=['fda_random']),
    dataset=dict(
        type='SynthiaDataset',
        data_root='data/synthia',
        data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
        pipeline=_base_.undistorted_pipeline,
    ),
)
default_hooks = dict(checkpoint=dict(save_best='mIoU16'))
